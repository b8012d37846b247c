"""How good embeddings are: classifiers, metrics, protocols, significance."""
