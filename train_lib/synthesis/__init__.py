"""Sounds made from formulas: the material of the demo's synthetic bank."""
