"""Network snapshots of the original TensorFlow implementation, read without it."""

from training.interop.tf_snapshot import Original, read, write

__all__ = ["Original", "read", "write"]
