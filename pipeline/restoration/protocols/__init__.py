"""The protocols by which papers measure restoration networks, so that their tables can be compared with ours."""
