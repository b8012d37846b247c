"""Search for configuration values with Optuna: `byola tune`."""
