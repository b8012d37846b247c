"""Models for phones, converted and proved: `byola tflite`."""
