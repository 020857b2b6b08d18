"""The number of files that a process may open: the view opens all of its shards at once, and keeps them open."""

import contextlib
import resource
import sys

from pipeline.errors import ShardError

OTHERS = 64
"""Files and connections that a process may have open in addition to the shards."""


def check_shards(images: int, images_per_shard: int) -> None:
    """Raise `ShardError` if `images` make more shards than a process can open, whatever its own (soft) limit.

    Where only the soft limit is too low, one line is printed: programs that read the view must raise it.
    """
    shards = -(-images // images_per_shard)
    soft, hard = limits()
    need = shards + OTHERS
    counts = f"{images} images make {shards} shards of {images_per_shard}, and dataset.h5 opens them all at once"
    if hard is not None and need > hard:
        fewest = -(-images // max(1, hard - OTHERS))
        raise ShardError(
            f"{counts}; a process may open {hard} files here (ulimit -Hn). Set shard.images_per_shard (or "
            f"lsun.images_per_shard) to {fewest} or more, or raise that limit to {need}."
        )
    if soft is not None and need > soft:
        print(
            f"{counts}: programs that read it need ulimit -n {need} (here {soft}), or they see magenta images. "
            f"pipeline.shards.reader.DataSet reads with any limit.",
            file=sys.stderr,
        )


def raise_limit(shards: int) -> None:
    """Let this process open `shards` shards at once, as far as the hard limit allows."""
    soft, hard = limits()
    if soft is not None and shards + OTHERS > soft:
        wanted = shards + OTHERS if hard is None else min(shards + OTHERS, hard)
        # some systems have a lower limit than the one that they state
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def few() -> int:
    """A quarter of the files that this process may open; at least 1."""
    soft, _ = limits()
    return sys.maxsize if soft is None else max(1, soft // 4)


def limits() -> tuple[int | None, int | None]:
    """The soft and the hard limit of open files; None where there is none."""
    soft, hard = (None if n == resource.RLIM_INFINITY else n for n in resource.getrlimit(resource.RLIMIT_NOFILE))
    return soft, hard
