"""What a run needs of the machine: device, CUDA graphs, preflight, signals, locks."""
