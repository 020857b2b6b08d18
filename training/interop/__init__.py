"""Network snapshots (.pkl) of the original TensorFlow implementation, read without TensorFlow."""

from training.interop.tf_snapshot import Original, network_info, read, state_dicts, write

__all__ = ["Original", "network_info", "read", "state_dicts", "write"]
