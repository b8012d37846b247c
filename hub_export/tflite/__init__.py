"""Models for phones, converted and proved: `python -m hub_export.tflite`."""
