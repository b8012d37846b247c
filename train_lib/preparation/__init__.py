"""From recordings to shards: `byola prepare`."""
