"""Every way to open a model for evaluation; `opening` chooses among them."""
