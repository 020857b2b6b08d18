"""One entrance to all sources: the params say which, the folder is filled the same way."""

import shutil
from pathlib import Path
from typing import assert_never

from pipeline.params import (
    AlignedCelebASource,
    AnySource,
    CelebASource,
    Cifar10Source,
    FolderSource,
    MnistRgbSource,
    MnistSource,
    SyntheticSource,
)
from pipeline.sources import celeba, celeba_aligned, cifar10, folder, mnist
from pipeline.sources.contents import Contents
from pipeline.sources.published import Published
from pipeline.sources.synthetic import layout


def deliver(source: AnySource, published: Published, target: Path) -> Contents:
    """Fill `target` with the raw files of `source`, as published, and leave their description there.

    Parameters
    ----------
    source
        The section `download.source` of the params.
    published
        What the data set's authors publish, to check copies against.
    target
        The folder to fill; what a killed run left there is replaced.

    Raises
    ------
    SourceError
        A file is missing or not what it should be.
    """
    _begin_again(target)
    match source:
        case SyntheticSource():
            delivered = layout.deliver(source, target)
        case FolderSource():
            delivered = folder.deliver(source, target)
        case CelebASource():
            delivered = celeba.deliver(source, published, target)
        case AlignedCelebASource():
            delivered = celeba_aligned.deliver(source, published, target)
        case Cifar10Source():
            delivered = cifar10.deliver(source, published, target)
        case MnistSource() | MnistRgbSource():
            delivered = mnist.deliver(source, published, target)
        case _:
            assert_never(source)
    delivered.write(target)
    return delivered


def _begin_again(target: Path) -> None:
    """Empty the folder: nothing stale may stay, and what was fetched is linked again from the folder of downloads."""
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
