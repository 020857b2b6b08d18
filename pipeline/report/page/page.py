"""The whole page: all sections, as one HTML file that needs no other file and asks no server."""

from collections.abc import Iterator, Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from pipeline.params import ReportParams
from pipeline.report.page import dropped, figures, words
from pipeline.report.page.blocks import Block, Chart, Note, Section, Table, Tiles
from pipeline.report.page.data_sections import build_sections, data_sections
from pipeline.report.page.headlines import headlines, is_headline
from pipeline.report.page.results import Results, Stage, number
from pipeline.report.page.run_sections import run_seconds, run_sections
from pipeline.shards.layout import VIEW

TITLE = "celebahq report"


def page(results: Results, limits: ReportParams) -> str:
    """The page on all results, as HTML. `limits` says how much of them is shown.

    Equal results give equal text: it holds no time of its own. Where the root of `results` is the folder of a data set
    itself, the page is about that.
    """
    if (results.root / VIEW).is_file():
        made = Stage("shard", results.root, {}, {})
        provenance = Section("provenance", "Provenance", list(_provenance([made])))
        return _rendered([*build_sections(made, limits), provenance])
    sections = [Section("overview", "Overview", list(_overview(results)))]
    sections += data_sections(results, limits)
    for name in results.runs:
        sections += run_sections(results, name, limits)
    if not results.runs:
        sections.append(Section("runs", "Runs", [Note("No run was trained.", missing=True)]))
    stages = results.stages()
    sections.append(Section("cost", "Time and space", list(_cost(stages))))
    sections.append(Section("provenance", "Provenance", list(_provenance(stages))))
    return _rendered(sections)


def _rendered(sections: Sequence[Section]) -> str:
    missing = [
        (section, block.text)
        for section in sections
        for block in section.blocks
        if isinstance(block, Note) and block.missing
    ]
    template = _environment().get_template("page.html")
    return template.render(title=TITLE, sections=sections, missing=missing)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pipeline.report.page", "template"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["figure"] = words.figure
    environment.filters["anchor"] = words.anchor
    return environment


def _overview(results: Results) -> Iterator[Block]:
    tiles: list[tuple[str, str, str]] = []
    images = results.stage("shard").numbers.get("images")
    first = dropped.counts(results.stage("extract"))
    if images is not None:
        tiles.append(("images", words.figure(images), f"of {first[0]:,} files" if first else ""))
    for name in results.categories:
        count = results.stage(f"lsun@{name}").numbers.get("images")
        if count is not None:
            tiles.append((f"LSUN {name}", words.figure(count), "images"))
    for name in results.runs if len(results.runs) == 1 else ():  # several are in a table
        train, evaluation = results.stage(f"train@{name}"), results.stage(f"evaluate@{name}")
        shown = number(train.numbers.get("images"))
        if shown is not None:
            tiles.append(
                (f"run {name}", f"{shown / 1000:,.0f} kimg", f"{words.figure(train.numbers.get('resolution'))}²")
            )
        headline = [(key, value) for key, value in evaluation.numbers.items() if is_headline(key)]
        tiles += [(key, words.figure(value), f"run {name}") for key, value in headline]
    seconds = [_seconds(stage) for stage in results.stages()]
    total = sum(value for value in seconds if value is not None)
    tiles.append(("time", words.seconds(total), "sum over the stages"))
    yield Tiles(tiles)
    if len(results.runs) > 1:
        yield _runs(results)


def _runs(results: Results) -> Table:
    """All runs with their headline figures, to compare them."""
    files = headlines(results)
    found = {name: files.get(f"runs/{name}", {}) for name in results.runs}
    columns = list(dict.fromkeys(key for values in found.values() for key in values))
    rows = [(name, *(words.figure(values.get(column)) for column in columns)) for name, values in found.items()]
    return Table("Runs", ("run", *columns), rows)


def _seconds(stage: Stage) -> float | None:
    return run_seconds(stage) if stage.name.startswith("train@") else number(stage.report.get("seconds"))


def _cost(stages: Sequence[Stage]) -> Iterator[Block]:
    rows: list[tuple[str | int | float | None, ...]] = []
    seconds: dict[str, float] = {}
    sizes: dict[str, int] = {}
    for stage in stages:
        took, size = _seconds(stage), stage.bytes
        items = number(stage.numbers.get("given")) or number(stage.rate.get("items")) or None
        each = f"{took / items:.4g} s" if took is not None and items else ""
        memory, workers = number(stage.rate.get("memory")), stage.rate.get("workers", "")
        row = (words.seconds(took), words.figure(items), each, words.size(memory), workers, words.size(size))
        rows.append((stage.name, *row))
        if took is not None:
            seconds[stage.name] = took
        if size:
            sizes[stage.name] = size
    if not rows:
        yield Note("No stage has run.", missing=True)
        return
    total = ("all", words.seconds(sum(seconds.values())), "", "", "", "", words.size(sum(sizes.values())))
    columns = ("stage", "time", "items", "per item", "largest process", "workers", "on disk")
    yield Table("Time, memory and disk by stage", columns, [*rows, total])
    if seconds:
        scale, unit = (3600, "hours") if max(seconds.values()) > 7200 else (1, "seconds")
        values = [value / scale for value in seconds.values()]
        yield Chart("time", "Time", figures.stacked_bars("time", list(seconds), {"time": values}, x_label=unit))
    if sizes:
        scale, unit = (1e9, "GB") if max(sizes.values()) > 1e9 else (1e6, "MB")
        values = [value / scale for value in sizes.values()]
        yield Chart("disk", "Disk", figures.stacked_bars("disk", list(sizes), {"size": values}, x_label=unit))
    yield Note(
        "The time is that of the last execution of each stage: one that was resumed does not count what was finished "
        "before, except for training that has a timing.csv. Items, memory and workers are of the last execution from "
        "the start on this machine."
    )


def _provenance(stages: Sequence[Stage]) -> Iterator[Block]:
    made = [stage for stage in stages if stage.record]
    if not made:
        yield Note("No stage left a record.", missing=True)
        return
    rows = [
        (
            stage.name,
            stage.record.get("recipe"),
            str(stage.record.get("code", ""))[:12],
            str(stage.record.get("digest", ""))[:12],
        )
        for stage in made
    ]
    caption = "Recipe, and the first 12 digits of the digests of code and of what the result was made from"
    yield Table(caption, ("stage", "recipe", "code", "made from"), rows)
    libraries: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for stage in made:
        libraries.setdefault(tuple(sorted(stage.record.get("libraries", {}).items())), []).append(stage.name)
    for versions, names in libraries.items():
        caption = "Libraries" if len(libraries) == 1 else f"Libraries of {', '.join(names)}"
        yield Table(caption, ("library", "version"), versions, folded=True)
    for stage in made:
        params = words.flat(stage.record.get("params", {}))
        inputs = [(f"input {path}", digest) for path, digest in stage.record.get("inputs", {}).items()]
        accepted = [(f"accepted {key}", value) for key, value in words.flat(stage.record.get("accepted", {})) if key]
        yield Table(f"{stage.name}: params and inputs", ("key", "value"), [*params, *inputs, *accepted], folded=True)
