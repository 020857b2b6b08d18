"""What the user accepted: the terms of data sets, and files that have no published hash."""

import getpass
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline import atomic
from pipeline.errors import TermsError
from pipeline.provenance import digest_of
from pipeline.sources.published import Fact, PublishedFile, Source

FILE = Path("accepted-terms.json")
"""At the repository's root. Git ignores it: each person accepts for themselves."""

TERMS_VARIABLE = "CELEBAHQ_ACCEPT_TERMS"
UNVERIFIED_VARIABLE = "CELEBAHQ_ACCEPT_UNVERIFIED"
"""Environment variables with names of manifests, separated by spaces or commas; for CI and batch jobs."""

What = Literal["terms", "unverified"]
_VARIABLES: dict[What, str] = {"terms": TERMS_VARIABLE, "unverified": UNVERIFIED_VARIABLE}


class Signature(Fact):
    """Who accepted, when (UTC, ISO 8601), and the digest of the accepted text."""

    by: str
    at: str
    text: str


class Acceptance(BaseModel):
    """The signatures in the file, by manifest; the environment variables count as well."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    terms: dict[str, Signature] = {}
    unverified: dict[str, Signature] = {}

    @classmethod
    def read(cls, path: Path = FILE) -> Self:
        """Read the file; raises `TermsError` if it has another content."""
        try:
            return cls.model_validate_json(path.read_bytes()) if path.is_file() else cls()
        except ValidationError as error:
            raise TermsError(
                f"{path} is not a file of accepted terms ({error}). Delete it and accept again."
            ) from error

    def demand(self, manifest: Source, files: Sequence[PublishedFile]) -> dict[str, Any]:
        """The signatures that these files need, for the record of the run.

        Raises `TermsError` if the terms, or files without a published hash, are not accepted, or changed since.
        """
        record: dict[str, Any] = {"terms": self._signature("terms", manifest)}
        if record["terms"] is None:
            raise TermsError(
                f"{manifest.dataset} is fetched only under its terms, which are not accepted yet:\n"
                f"{describe(manifest)}\nTo accept them: celebahq terms --accept-terms {manifest.name} "
                f"(or set {TERMS_VARIABLE}={manifest.name})."
            )
        unhashed = [file.path for file in files if not file.hashes]
        if not unhashed:
            return record
        record["unverified"] = self._signature("unverified", manifest)
        if record["unverified"] is None:
            examples = ", ".join(unhashed[:3]) + (", ..." if len(unhashed) > 3 else "")
            raise TermsError(
                f"{manifest.dataset}: no hash of {len(unhashed)} file(s) ({examples}) is published, so nothing proves "
                f"that they are the right ones; only the checksums inside the archives can be tested.\n"
                f"To use them nevertheless: celebahq terms --accept-unverified {manifest.name} "
                f"(or set {UNVERIFIED_VARIABLE}={manifest.name})."
            )
        return record

    def _signature(self, what: What, manifest: Source) -> dict[str, str] | None:
        signature = (self.terms if what == "terms" else self.unverified).get(manifest.name)
        if signature is not None and signature.text == _text_digest(what, manifest):
            return signature.model_dump()
        variable = _VARIABLES[what]
        if manifest.name in os.environ.get(variable, "").replace(",", " ").split():
            # without the time, which differs in every run: the record of equal runs is equal
            return _sign(what, manifest, f", by {variable}").model_dump(exclude={"at"})
        return None


def accept(what: What, manifest: Source, path: Path = FILE) -> None:
    """Record that the current user accepts the terms of a data set, or its files without published hashes."""
    signatures = Acceptance.read(path).model_dump(exclude_defaults=True)
    signatures.setdefault(what, {})[manifest.name] = _sign(what, manifest).model_dump()
    atomic.write_json(path, signatures)


def describe(manifest: Source) -> str:
    """The terms of a data set in a few lines."""
    terms = manifest.terms
    lines = [f"{manifest.name}: {manifest.dataset}", f"  {terms.statement}", f"  licence: {terms.licence}; {terms.url}"]
    return "\n".join([*lines, *(f"  not known: {fact}" for fact in manifest.unknown)])


def _sign(what: What, manifest: Source, means: str = "") -> Signature:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = f"uid {os.getuid()}"
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Signature(by=user + means, at=now, text=_text_digest(what, manifest))


def _text_digest(what: What, manifest: Source) -> str:
    """Identifies the accepted text: if it changes, it must be accepted again."""
    return digest_of(manifest.terms.model_dump() if what == "terms" else manifest.unknown)[:16]
