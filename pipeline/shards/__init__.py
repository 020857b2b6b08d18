"""The data set's own form: multi-resolution HDF5 shards, and the single-file view of them."""
