"""Archives, layouts of registries, and model cards."""
