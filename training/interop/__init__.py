"""Network snapshots (.pkl) of the original TensorFlow implementation, read without TensorFlow."""

from training.interop.tf_snapshot import Original, read, write

__all__ = ["Original", "read", "write"]
