"""One entrance to all sources: the params say which, the folder is filled the same way."""

import shutil
from pathlib import Path

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
from pipeline.sources import celeba, celeba_aligned, cifar10, folder, mnist, synthetic
from pipeline.sources.contents import Contents
from pipeline.sources.published import Published


def stage_files(source: AnySource, published: Published | None, target: Path) -> Contents:
    """Fill `target` with the raw files of `source`, as published, and leave their description there.

    Parameters
    ----------
    source
        The section `download.source` of the params, all of whose paths are files of this machine.
    published
        What the data set's authors publish, to check copies against; None for a source that is not published.
    target
        The folder to fill; what a killed run left there is replaced.

    Raises
    ------
    SourceError
        A file is missing or not what it should be.
    """
    _begin_again(target)
    delivered = _lay_down(source, published, target)
    if published is not None and published.limits is not None:
        delivered = delivered.model_copy(update={"limits": published.limits})
    delivered.write(target)
    return delivered


def _lay_down(source: AnySource, published: Published | None, target: Path) -> Contents:
    match source:
        case SyntheticSource():
            return synthetic.stage_files(source, target)
        case FolderSource():
            return folder.stage_files(source, target)
        case _:
            assert published is not None  # of every other kind there is a manifest
            return _check_and_lay_down(source, published, target)


def _check_and_lay_down(
    source: CelebASource | AlignedCelebASource | Cifar10Source | MnistSource | MnistRgbSource,
    published: Published,
    target: Path,
) -> Contents:
    match source:
        case CelebASource():
            return celeba.stage_files(source, published, target)
        case AlignedCelebASource():
            return celeba_aligned.stage_files(source, published, target)
        case Cifar10Source():
            return cifar10.stage_files(source, published, target)
        case MnistSource() | MnistRgbSource():
            return mnist.stage_files(source, published, target)


def _begin_again(target: Path) -> None:
    """Empty the folder: nothing stale may stay, and what was fetched is linked again from the folder of downloads."""
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
