"""Real images, their order and preprocessing, and every random number of a run."""
