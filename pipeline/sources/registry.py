"""The class of every kind of source."""

from pipeline.sources.celeba import AlignedCelebA, CelebA
from pipeline.sources.cifar10 import Cifar10
from pipeline.sources.folder import Folder
from pipeline.sources.mnist import Mnist
from pipeline.sources.source import DataSource
from pipeline.sources.synthetic import Synthetic

SOURCES: dict[str, type[DataSource]] = {
    "synthetic": Synthetic,
    "folder": Folder,
    "celeba": CelebA,
    "celeba-128": AlignedCelebA,
    "cifar10": Cifar10,
    "mnist": Mnist,
    "mnist-rgb": Mnist,
}
"""By `params.download.source.kind`."""
