"""Weights of PyTorch checkpoints, read as data."""
