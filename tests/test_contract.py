"""The rules of the project (docs/design.md), each with the remedy in its message."""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.params import Params
from stages import RECIPES

GRAPH: dict[str, Any] = yaml.safe_load(Path("dvc.yaml").read_text())
STAGES: dict[str, dict[str, Any]] = {name: stage.get("do", stage) for name, stage in GRAPH["stages"].items()}
NOT_STAGES = {
    "cluster",  # where work runs: it may change no result, so no stage depends on it
    "network",  # how published files come: neither may it
    "exact",  # what the published images are held to, by align, select and shard
    "photographs",  # how files become pixels, in every stage that decodes them
}


@cache
def _params() -> dict[str, Any]:
    return yaml.safe_load(Path("params.yaml").read_text())


def test_stage_file_section_and_test_are_one_to_one() -> None:
    files = {path.stem for path in Path("stages").glob("*.py") if not path.stem.startswith("__")}
    helpers = {"build", "cards", "detect_folder", "doctor", "fitting", "pictures", "plan", "probe", "profiles"}
    helpers |= {"remaining", "reports", "trust"}
    assert files - helpers == set(STAGES), "each file of stages/ is one stage of dvc.yaml"
    assert set(Params.model_fields) - NOT_STAGES == set(STAGES), "each stage has its section in pipeline/params/"
    tests = {path.stem.removeprefix("test_") for path in Path("tests/stages").glob("test_*.py")}
    assert set(STAGES) <= tests, "each stage has tests/stages/test_<stage>.py"


@pytest.mark.parametrize("name", STAGES)
def test_a_command_holds_no_tunable_flag(name: str) -> None:
    pattern = rf"python -m stages\.{name}( \$\{{(item|key)\}})?"
    assert re.fullmatch(pattern, STAGES[name]["cmd"]), "values belong into params.yaml, not into the command"


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_follows_its_recipe_and_no_code(name: str) -> None:
    recipe: list[Any] = [key for key in STAGES[name]["params"] if isinstance(key, dict)]
    assert recipe == [{"stages/recipes.yaml": [name]}], f"{name} must list its recipe among its params"
    code = [dep for dep in STAGES[name]["deps"] if Path(dep).parts[0] in ("pipeline", "training", "stages")]
    assert not code, "a change of code runs nothing: raise the stage's number in stages/recipes.yaml instead"


def test_every_stage_has_a_recipe() -> None:
    assert list(yaml.safe_load(RECIPES.read_text())) == list(STAGES), "stages/recipes.yaml lists the stages of dvc.yaml"


@pytest.mark.parametrize("name", STAGES)
def test_params_of_a_stage_exist_and_include_its_own(name: str) -> None:
    keys = [key for key in STAGES[name]["params"] if isinstance(key, str)]
    for key in keys:
        place: Any = _params()
        for part in key.replace(".${key}", "").split("."):
            assert part in place, f"{name} lists {key}, which params.yaml does not have"
            place = place[part]
    section: Any = Params.model_fields[name].annotation
    decides = set(getattr(section, "model_fields", {"runs"})) - getattr(section, "free", set())
    assert any(key.split(".")[0] == name for key in keys) or not decides, f"{name} must depend on its own section"


@pytest.mark.parametrize("name", sorted(set(STAGES) - {"train"}))
def test_a_stage_follows_every_value_of_its_section_that_decides_its_result(name: str) -> None:
    section: Any = Params.model_fields[name].annotation
    listed = {key for key in STAGES[name]["params"] if isinstance(key, str) and key.split(".")[0] == name}
    deciding = set(section.model_fields) - section.free
    assert listed in ({name} if not section.free else {}, {f"{name}.{key}" for key in deciding}), (
        f"dvc.yaml lists the params of {name}, but not those in `free` of its section in pipeline/params/"
    )


def test_what_is_read_was_made_by_another_stage_or_is_in_the_repository() -> None:
    outs = {next(iter(out)) if isinstance(out, dict) else out for stage in STAGES.values() for out in stage["outs"]}
    for name, stage in STAGES.items():
        for dep in stage["deps"]:
            known = dep.startswith("${") or {dep, str(Path(dep).parent)} & outs or Path(dep).exists()
            assert known, f"{name} depends on {dep}, which no stage makes"


def test_imports_point_one_way() -> None:
    result = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout


def test_what_users_do_not_have_is_skipped_by_name() -> None:
    nowhere = {
        "CELEBAHQ_VECTORS": "/nowhere/faces",
        "CELEBAHQ_REAL": "/nowhere/real",
        "CELEBAHQ_CASES": "/nowhere/cases",
        "PGGAN_VECTORS": "/nowhere/gan",
    }
    marked = [str(path) for path in Path("tests").rglob("test_*.py") if "mark.vectors" in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "vectors", "-p", "no:cacheprovider", *sorted(marked)]
    output = subprocess.run(command, env=os.environ | nowhere, capture_output=True, text=True, check=False).stdout
    counts = re.search(r"\n(\d+) skipped, \d+ deselected in ", output)
    assert counts, f"without the vectors some test fails where it should be skipped (tests/outside.py):\n{output}"
    named = re.findall(r"SKIPPED \[(\d+)\] \S+ no (/nowhere/\w+)/\S+; (\w+) names", output)
    assert sum(int(number) for number, _, _ in named) == int(counts[1]), "each skip names the path and the variable"
    assert {variable: folder for _, folder, variable in named} == nowhere


def test_manifests_hold_no_code() -> None:
    assert {path.suffix for path in Path("manifests").rglob("*") if path.is_file()} <= {
        ".yaml",
        ".csv",
        ".parquet",
        ".md",
    }


USUAL_WORDS = {
    r"slopes?": "grad, gradient (of a leaky ReLU: negative_slope)",
    r"told": "logged, stated, known",
    r"recall\(": "load_state_dict",
    r"(SPEC|EXACT) §": "a section of the paper, a public source, or a page under docs/",
    r"DESIGN, rule|STYLE,": "a page under docs/",
    r"unlowered|lowered": "full_precision, compute_dtype",
    r"lay_down|lays? down": "link_or_copy, stage_files",
    r"beside": "next to, in the same folder, together with",
}


def test_names_and_sentences_use_the_usual_words() -> None:
    found = [
        f"{path}:{number}: {match[0]!r}; the usual word is: {usual}"
        for path in _tracked("pipeline/*.py", "training/*.py", "stages/*.py", "benchmarks/*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for word, usual in USUAL_WORDS.items()
        if (match := re.search(rf"\b(?:{word})", line)) and not re.search(r"\w", line[match.end() : match.end() + 1])
    ]
    assert not found, "\n".join(found)


def test_targets_of_make_that_messages_advise_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", Path("Makefile").read_text(), re.MULTILINE))
    for path in _tracked("pipeline/*.py", "training/*.py", "stages/*.py", "README.md", "docs/*.md"):
        advised = set(re.findall(r"(?:\(|`|run |by |&& )make ([a-z]+)\b", path.read_text()))
        assert advised <= targets, f"{path} advises a target that the Makefile does not have"


def test_files_stay_short() -> None:
    long = {str(p): n for p in _tracked("*.py") if (n := len(p.read_text().splitlines())) > 400}
    assert not long, f"more than one room in a file: {long}"


def test_nothing_large_is_tracked() -> None:
    large = [str(p) for p in _tracked() if p.stat().st_size > 1_000_000]
    assert not large, "data sets, checkpoints and large pictures stay out of the repository"


def test_every_dependency_is_justified() -> None:
    lines = re.findall(r'^    "[A-Za-z].*$', Path("pyproject.toml").read_text().split("[tool.")[0], re.MULTILINE)
    assert len(lines) > 20
    assert not [line for line in lines if "#" not in line], "one line of reason for each dependency"


def _tracked(*patterns: str) -> list[Path]:
    names = subprocess.run(["git", "ls-files", "-z", *patterns], capture_output=True, text=True, check=True).stdout
    return [path for name in names.split("\0") if name and (path := Path(name)).is_file()]
