"""The model card of a network file: data and terms, training, metrics, intended use, how to load it.

In the form of Hugging Face's model cards: Markdown with a YAML head. It is made of what lies next to the network and
next to its data set, and holds no time: equal results have equal cards.
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import atomic, provenance
from pipeline.errors import NetworkError
from pipeline.provenance import RECORD
from training import checkpoint
from training.checkpoint import NetworkInfo
from training.sampling import read_record

DATASET_CARD = "README.md"
"""In a folder of shards."""
NOT_STATED = "not stated here"
PAPER = (
    "Karras, Aila, Laine, Lehtinen: Progressive Growing of GANs for Improved Quality, Stability, and Variation, "
    "ICLR 2018 (https://arxiv.org/abs/1710.10196)"
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a card states. Of a network that is no part of a run, `run` and `report` are empty."""

    name: str
    sha256: str
    info: NetworkInfo
    run: dict[str, Any]
    report: dict[str, Any]
    dataset: str
    terms: Sequence[str]
    metrics: dict[str, str]


def write_cards(files: Sequence[Path]) -> list[Path]:
    """Write the card of each network file as the same name with `.md`; return their paths."""
    cards: list[Path] = []
    for path in files:
        cards.append(path.with_suffix(".md"))
        atomic.write_bytes(cards[-1], card(facts_of(path)).encode())
    return cards


def facts_of(network: Path) -> Facts:
    """What is known of a network file: from itself, its run's record, its data set, and its evaluation.

    A run `runs/NAME` has its evaluation in `evaluations/NAME`, and names its data set from the same root.
    """
    info, _ = checkpoint.read_network(network, [])
    folder = network.absolute().parent
    record = read_record(folder)
    run, root = record["run"], folder.parent.parent
    dataset = root / run["dataset"] if "dataset" in run else None
    about, terms = (NOT_STATED, []) if dataset is None else _dataset(dataset, run["dataset"])
    metrics = _metrics(root / "evaluations" / folder.name, info.images_shown / 1000)
    sha256 = provenance.digest_of_file(network)
    return Facts(network.name, sha256, info, run, record["report"], about, terms, metrics)


def card(facts: Facts) -> str:
    """The card as Markdown."""
    info, run, options = facts.info, facts.run, facts.info.generator
    side, kimg = info.resolution, f"{info.images_shown / 1000:,.1f} thousand real images"
    level = math.floor(info.lod)
    before = f"{side // 2}x{side // 2}"
    fades = f", {info.lod - level:.0%} of them still the image of {before} (a fade)" if info.lod > level else ""
    labels = f"{info.label_size} (AC-GAN)" if info.label_size else "none"
    rows = {
        "images": f"{side}x{side} RGB{fades}; the whole network: {info.full_resolution}x{info.full_resolution}",
        "latents": f"{options.latent_size} values from N(0, 1)",
        "labels": labels,
        "trained for": kimg if info.images_shown else NOT_STATED,
        "networks in the file": "G, D, and Gs, the running average of G, which makes the images",
        "SHA-256": f"`{facts.sha256}`",
    }
    best = facts.report.get("best") or {}
    if Path(best.get("network", "")).name == facts.name:
        distance = next(f"{name} {value}" for name, value in best.items() if name != "network")
        rows["of the run's snapshots"] = f"the nearest to the real images by {distance}"
    lines = [
        "---", "library_name: celebahq", "pipeline_tag: unconditional-image-generation",
        "license: other", "tags:", "- gan", "- progressive-gan", "---", "",
        f"# {facts.name}", "", "A generator of the progressive GAN.", "", *_table(rows), "",
        "## Data and terms", "", facts.dataset, "", *facts.terms, *([""] if facts.terms else []),
        "The terms of the data hold for what is made of it, and may hold for this network: read them before you pass "
        "it on. Generated images may resemble real people of the data: `celebahq neighbours` shows the nearest.", "",
        "## Training", "", *_training(run), "",
        "## Metrics", "", *_metric_lines(facts), "",
        "## Intended use", "",
        "Research on generative models, and comparison with the published results. Not for pictures that pass as those "
        "of real people. The images have the biases of the data, and its rarer faces are drawn worse.", "",
        "## How to load it", "", "```sh",
        f"celebahq generate {facts.name} images --seeds 0-15",
        f"celebahq export-network {facts.name} generator.onnx   # or generator.pt, TorchScript",
        "```", "", "```python", "from pathlib import Path", "", "import torch", "", "from training import generate", "",
        f'snapshot = generate.load(Path("{facts.name}"), torch.device("cpu"))',
        f"latents = snapshot.latents(1, 4)  # seed, count: (4, {options.latent_size}) float32",
        "images = snapshot.images(latents, " + _label_code(info) + ", 4)  # (4, 3, H, W) uint8 RGB",
        "```", "", "## Reference", "", PAPER,
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _label_code(info: NetworkInfo) -> str:
    return f"torch.eye({info.label_size})[[0, 0, 0, 0]].numpy()" if info.label_size else "None"


def _table(rows: dict[str, str]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]


def _training(run: dict[str, Any]) -> list[str]:
    if not run:
        return ["The file lies in no run of this project: how it was trained is " + NOT_STATED + "."]
    schedule, loss = run["schedule"], run["loss"]
    rows = {
        "loss": f"{loss['kind']}, {', '.join(f'{key} {value}' for key, value in loss.items() if key != 'kind')}",
        **({"started from": f"`{run['start']['path']}`"} if run.get("start") else {}),
        "schedule": f"from {schedule['initial_resolution']} to {run['resolution']} pixels, {schedule['train_kimg']:g} "
        f"kimg at each resolution and {schedule['fade_kimg']:g} in each fade, {schedule['total_kimg']:g} in all",
        "minibatch": _by_resolution(schedule["minibatch"], schedule["minibatch_at"]),
        "learning rate": _by_resolution(schedule["learning_rate"], schedule["learning_rate_at"]),
        **_rates_of_d(schedule.get("discriminator_rates")),
        "optimiser": "Adam, " + ", ".join(f"{key} {value:g}" for key, value in run["optimizer"].items()),
        "running average": _average(run["ema_decay"]),
        "mirrored images": "yes" if run["mirror"] else "no",
        "precision": run["speed"]["precision"],
        "feature maps": f"base {run['networks']['fmap_base']}, at most {run['networks']['fmap_max']}",
        "seed": str(run["seed"]),
    }
    return [*_table(rows), "", f"`{RECORD}` of the run has all options, the digests of the inputs and the versions."]


def _average(decay: float | dict[str, float]) -> str:
    return f"half-life {decay['half_life_kimg']:g} kimg" if isinstance(decay, dict) else f"decay {decay:g} per step"


def _rates_of_d(rates: dict[str, Any] | None) -> dict[str, str]:
    return {"learning rate of D": _by_resolution(rates["learning_rate"], rates["learning_rate_at"])} if rates else {}


def _by_resolution(usual: float, exceptions: dict[str, float]) -> str:
    others = [f"{value:g} at {side}" for side, value in sorted(exceptions.items(), key=lambda item: int(item[0]))]
    return ", ".join([f"{usual:g}", *others])


def _metric_lines(facts: Facts) -> list[str]:
    if not facts.metrics:
        return ["Not evaluated: `dvc repro` evaluates the snapshots of a run (stage `evaluate`)."]
    names = (
        "The names state the protocol: `swd16k_1024` is the distance (x 1,000) of 16,384 images at the level of 1024."
    )
    return [*_table(facts.metrics), "", names]


def _dataset(folder: Path, name: str) -> tuple[str, list[str]]:
    """A sentence on the data set, and its sources with their terms, from its own card."""
    path = folder / DATASET_CARD
    if not path.is_file():
        return f"`{name}`. Its terms are {NOT_STATED}: it has no card ({DATASET_CARD}).", []
    lines = path.read_text(encoding="utf-8").splitlines()
    title = next((line[2:] for line in lines if line.startswith("# ")), name)
    start = next((place for place, line in enumerate(lines) if line == "## Source and terms"), len(lines))
    section = lines[start + 1 :]
    end = next((place for place, line in enumerate(section) if line.startswith("## ")), len(section))
    return f"{title} (`{name}`), made of:", [line for line in section[:end] if line]


def _metrics(folder: Path, kimg: float) -> dict[str, str]:
    """The metrics of the snapshot after `kimg` in the tables of an evaluation; `NetworkError` if one is damaged."""
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.csv")):
        try:
            rows = [*csv.DictReader(path.read_text(encoding="utf-8").splitlines())]
            of_it = [
                row for row in rows if "resolution" in row and math.isclose(float(row["kimg"]), kimg, abs_tol=5e-4)
            ]
        except (ValueError, TypeError, KeyError) as error:
            raise NetworkError(f"{path}: damaged, a row has no kimg. Evaluate again: dvc repro -f evaluate.") from error
        for row in of_it:
            found |= {key: value for key, value in row.items() if key not in ("kimg", "resolution") and value}
    return found
