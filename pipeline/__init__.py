"""The data-set engine: photographs in, multi-resolution HDF5 shards out. No YAML, no command line."""
