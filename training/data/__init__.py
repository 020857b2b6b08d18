"""Real images: order, prefetching, preprocessing, and every random number of a run."""
