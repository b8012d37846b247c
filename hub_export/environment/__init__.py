"""What the environment doctor examines: versions, problems, trials."""
