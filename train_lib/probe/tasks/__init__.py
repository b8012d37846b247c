"""Labelled sounds to evaluate on: tables, folders and published tasks."""
