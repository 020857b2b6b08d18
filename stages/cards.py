"""What the dataset card of `shard` and `lsun` states of the source, by params and manifests."""

from pipeline.params import LsunCategory, LsunParams, Params
from pipeline.report.card import DRAWN, OWN, Origin, Terms
from pipeline.sources.lsun.published import PublishedLsun
from pipeline.sources.published import Published, Source
from stages import MANIFESTS, read_manifest

TITLES = {
    "synthetic": "Drawn faces",
    "folder": "Pictures",
    "celeba": "CelebA faces",
    "celeba-128": "CelebA",
    "cifar10": "CIFAR-10",
    "mnist": "MNIST",
    "mnist-rgb": "MNIST-RGB",
}
MANIFEST_OF = {"celeba": "celeba", "celeba-128": "celeba", "cifar10": "cifar10", "mnist": "mnist", "mnist-rgb": "mnist"}


def origin_of_shards(params: Params, dropped: dict[str, int]) -> Origin:
    """Of the stage `shard`."""
    kind, method = params.download.source.kind, params.superres.method
    names = [MANIFEST_OF[kind]] if kind in MANIFEST_OF else []
    cited = [*names, "pggan"]
    title = TITLES[kind]
    if method == "delta":
        title = "CelebA-HQ"
        names.append("celebahq-deltas")
    terms = [_terms(read_manifest(MANIFESTS / f"{name}.yaml", Published)) for name in names]
    return Origin(title, method, terms or [OWN if kind == "folder" else DRAWN], cited, dropped)


def origin_of_lsun(category: LsunCategory, params: LsunParams, dropped: dict[str, int]) -> Origin:
    """Of the stage `lsun`."""
    if params.source.kind == "synthetic":
        return Origin(f"Drawn {category}", "lsun", [DRAWN], ["pggan"], dropped)
    terms = _terms(read_manifest(MANIFESTS / "lsun.yaml", PublishedLsun))
    return Origin(f"LSUN {category}", "lsun", [terms], ["lsun", "pggan"], dropped)


def _terms(source: Source) -> Terms:
    return Terms(source.dataset, source.home, source.terms.statement, source.terms.licence, source.terms.url)
