"""Network snapshots of the original TensorFlow implementation, read without it."""

from training.interop.snapshot import Original, read, write

__all__ = ["Original", "read", "write"]
