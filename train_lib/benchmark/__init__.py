"""Speed, measured: `byola benchmark`."""
