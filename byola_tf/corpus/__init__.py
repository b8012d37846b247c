"""Where training crops come from: folders, shards, datasets, a data service."""
