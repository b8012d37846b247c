"""Sounds, a short run, export, probe and a page: `python -m train_lib.demo`."""
