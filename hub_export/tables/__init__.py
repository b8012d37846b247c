"""Tables of embeddings, written part by part."""
