"""From samples to vectors, the one road that every door takes."""
