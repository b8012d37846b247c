"""Sounds, a short run, export, probe and a page: `byola demo`."""
