"""What a researcher runs: pre-training, probes, benchmark, demo."""
