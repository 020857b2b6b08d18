"""`celebahq doctor`: what a machine lacks, and what to do."""

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from pipeline.errors import DecoderError
from stages import doctor
from stages.__main__ import app
from stages.doctor import Finding, State


def test_the_checks_that_need_no_process_find_this_machine_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = (doctor.python, doctor.packages, doctor.processor, doctor.decoders, doctor.disks, doctor.limits)
    monkeypatch.setattr(doctor, "CHECKS", quick)
    result = CliRunner().invoke(app, ["doctor", "--json"], catch_exceptions=False)
    found = {finding["topic"]: finding for finding in json.loads(result.stdout)}
    assert result.exit_code == 0, result.stdout
    assert {"python", "packages", "processor", "decoder libjpeg-8d", "disk of data/", "open files"} <= found.keys()
    assert "gives the known pixels" in found["decoder libjpeg-8d"]["found"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("numpy>=2", None),
        ("numpy>=99", "needed is >=99"),
        ("no-such-package-of-anyone>=1", "is not installed"),
        ("no-such-package-of-anyone>=1; python_version < '3'", None),
    ],
)
def test_packages_are_held_to_their_requirements(text: str, fault: str | None) -> None:
    found = doctor.fault_of(text)
    assert found is None if fault is None else found is not None and fault in found[1]


def test_what_is_lacking_has_a_remedy_and_only_what_is_needed_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"dependencies": ["numpy>=2"], "optional-dependencies": {"heic": ["no-such-package-of-anyone"]}}
    monkeypatch.setattr(doctor, "project", lambda: facts)
    monkeypatch.setattr(doctor, "CHECKS", (doctor.packages,))
    result = CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "only for the feature heic: pip install -e '.[heic]'" in result.output
    facts["dependencies"] = ["numpy>=99"]
    result = CliRunner().invoke(app, ["doctor"], catch_exceptions=False)
    assert (result.exit_code, result.output.split()[:2]) == (1, ["failed", "numpy"])


def test_a_check_that_breaks_is_a_failed_one_and_the_others_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def decoders() -> Iterator[Finding]:
        raise DecoderError("gives other pixels")
        yield

    def torch_and_gpu() -> Iterator[Finding]:
        raise ImportError("libcuda.so")
        yield

    monkeypatch.setattr(doctor, "CHECKS", (decoders, torch_and_gpu, doctor.limits))
    first, second, *others = doctor.examine()
    assert (first.state, first.found) == (State.FAILED, "gives other pixels")
    assert (second.state, second.found) == (State.FAILED, "ImportError: libcuda.so")
    assert len(others) == 2
