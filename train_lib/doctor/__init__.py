"""The corpus doctor: examines a folder of sounds before training.

Measures every file (measurement, instruments), judges (findings, leakage),
computes the corpus statistics by the training code (mel_profile), suggests a
schedule and writes the report (figures, report).
"""
