"""What the user accepted: the terms of data sets, and files that can be checked against no published hash."""

import getpass
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline import atomic
from pipeline.errors import TermsError
from pipeline.provenance import digest_of
from pipeline.sources.published import PublishedFile, Source

FILE = Path("accepted-terms.json")
"""At the repository's root; git ignores it, since one person's word is not another's."""

TERMS_VARIABLE = "CELEBAHQ_ACCEPT_TERMS"
UNVERIFIED_VARIABLE = "CELEBAHQ_ACCEPT_UNVERIFIED"
"""Names of manifests, separated by spaces or commas: acceptance where nobody types, as in CI."""

What = Literal["terms", "unverified"]
_VARIABLES: dict[What, str] = {"terms": TERMS_VARIABLE, "unverified": UNVERIFIED_VARIABLE}


class Word(BaseModel):
    """One acceptance: by whom, when (UTC, ISO 8601), and the digest of the text that stood there then."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    by: str
    at: str
    text: str


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    terms: dict[str, Word] = {}
    unverified: dict[str, Word] = {}


@dataclass(frozen=True)
class Acceptance:
    """All that the user accepted, by manifest."""

    terms: Mapping[str, Word]
    unverified: Mapping[str, Word]
    environment: Mapping[What, frozenset[str]]

    @classmethod
    def read(cls, path: Path = FILE) -> Self:
        """What stands in the file and in the environment.

        Raises
        ------
        TermsError
            The file is none of ours.
        """
        try:
            kept = _File.model_validate_json(path.read_bytes()) if path.is_file() else _File()
        except ValidationError as error:
            raise TermsError(f"{path}: no record of accepted terms ({error}). Delete it, and accept again.") from error
        return cls(kept.terms, kept.unverified, {what: _named(variable) for what, variable in _VARIABLES.items()})

    def demand(self, source: Source, files: Sequence[PublishedFile]) -> dict[str, Any]:
        """Refuse files whose terms are not accepted; return the acceptance for the record of the run.

        Raises
        ------
        TermsError
            The terms were not accepted, or have changed since; or a file has no published hash, and that was not.
        """
        record: dict[str, Any] = {"terms": self._word("terms", source)}
        if record["terms"] is None:
            raise TermsError(
                f"{source.dataset} is fetched only under its terms, which are not accepted yet:\n"
                f"{describe(source)}\nTo accept them: celebahq terms --accept-terms {source.name} "
                f"(or set {TERMS_VARIABLE}={source.name})."
            )
        unhashed = [file.path for file in files if not file.hashes]
        if unhashed:
            record["unverified"] = self._word("unverified", source)
            if record["unverified"] is None:
                raise TermsError(
                    f"{source.dataset}: no hash is published of {len(unhashed)} file(s) ({_some(unhashed)}), so "
                    f"nothing proves that they are the published ones; only their own sums can be checked.\n"
                    f"To take them all the same: celebahq terms --accept-unverified {source.name} "
                    f"(or set {UNVERIFIED_VARIABLE}={source.name})."
                )
        return record

    def _word(self, what: What, source: Source) -> dict[str, str] | None:
        kept = (self.terms if what == "terms" else self.unverified).get(source.name)
        if kept is not None and kept.text == _text(what, source):
            return kept.model_dump()
        if source.name in self.environment[what]:
            return {"by": f"{_user()}, by {_VARIABLES[what]}", "at": _now(), "text": _text(what, source)}
        return None


def accept(what: What, source: Source, path: Path = FILE) -> None:
    """Record that whoever runs this accepts the terms of `source`, or its files without published hashes."""
    Acceptance.read(path)
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    word = Word(by=_user(), at=_now(), text=_text(what, source))
    atomic.write_json(path, {**kept, what: {**kept.get(what, {}), source.name: word.model_dump()}})


def describe(source: Source) -> str:
    """The terms of a data set in a few lines."""
    terms = source.terms
    lines = [f"{source.name}: {source.dataset}", f"  {terms.statement}", f"  licence: {terms.licence}; {terms.url}"]
    return "\n".join([*lines, *(f"  not known: {fact}" for fact in source.unknown)])


def _text(what: What, source: Source) -> str:
    """Digest of what is accepted: with another text it must be accepted again."""
    return digest_of(source.terms.model_dump() if what == "terms" else source.unknown)[:16]


def _named(variable: str) -> frozenset[str]:
    return frozenset(os.environ.get(variable, "").replace(",", " ").split())


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _some(paths: Sequence[str]) -> str:
    return ", ".join(paths[:3]) + (", ..." if len(paths) > 3 else "")
