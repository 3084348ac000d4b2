"""The coding of one partition, in a Python process of Spark. What codes is the `Coder` that codes everywhere.

What comes in are rows of (source, content): a file or a line of one. What goes out are rows of (type, id, line): one
per resource, with the id that follows from its identity, and one of the type FAILURE for what could not be coded.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

import orjson

from fhir_coder.delivery.client import FhirClient
from fhir_coder.delivery.ndjson import Row, rows
from fhir_coder.errors import DeliveryError, FhirCoderError, TransientDeliveryError
from fhir_coder.fhir.bundle import to_bundle
from fhir_coder.fhir.checks import check
from fhir_coder.ingest.files import holds_note, read_content
from fhir_coder.ingest.intake import Intake
from fhir_coder.ingest.json_input import intakes_from_json
from fhir_coder.model import CodedNote, Note
from fhir_coder.pipeline import Coder, code_each
from fhir_coder.settings import Settings

if TYPE_CHECKING:
    import pyarrow

Format = Literal["ndjson", "files"]

SCHEMA = "type string, id string, line string"
FAILURE = "failures"

_NOTES_AT_ONCE = 32


def coding(
    settings: Settings, format_: Format
) -> Callable[[Iterable[pyarrow.RecordBatch]], Iterable[pyarrow.RecordBatch]]:
    """Return what codes a partition, for `DataFrame.mapInArrow`.

    Resources are sent to `settings.server` where there is one, else they are rows of the result.
    """
    # As bytes: they are the key under which a Python process that is used again finds its coder.
    pickled = pickle.dumps(settings)

    def code(batches: Iterable[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        import pyarrow

        desk = _desk(pickled)
        for batch in batches:
            sources, contents = batch.column("source").to_pylist(), batch.column("content").to_pylist()
            for start in range(0, len(sources), _NOTES_AT_ONCE):
                part = slice(start, start + _NOTES_AT_ONCE)
                found = list(desk.rows(sources[part], contents[part], format_))
                yield pyarrow.RecordBatch.from_pydict(
                    {
                        "type": [row.resource_type for row in found],
                        "id": [row.id for row in found],
                        "line": [row.line for row in found],
                    },
                    schema=_arrow_schema(),
                )

    return code


@cache
def _arrow_schema() -> pyarrow.Schema:
    import pyarrow

    return pyarrow.schema([(name, pyarrow.string()) for name in ("type", "id", "line")])


@cache
def _desk(pickled: bytes) -> _Desk:
    """Return the desk of this process; the models are loaded when a process of Spark codes its first partition."""
    return _Desk(pickle.loads(pickled))  # noqa: S301 - it is our own, from the program that started this process


class _Desk:
    """Codes the notes of the partitions that one process is given."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._coder = Coder.from_settings(settings)
        self._client = FhirClient.of(settings)

    def rows(self, sources: Sequence[str], contents: Sequence[bytes], format_: Format) -> Iterator[Row]:
        """Yield the rows of some inputs."""
        notes: list[tuple[str, Note]] = []
        for source, content in zip(sources, contents, strict=True):
            place = _place(source, content, format_)
            for intake in self._intakes(source, content, format_):
                if intake.error is not None:
                    yield _failure(place, intake.error)
                if intake.records:
                    yield from self._delivered(place, _transaction(intake.records), has_subject=True)
                if intake.note is not None:
                    notes.append((place, intake.note))
        outcomes = code_each(self._coder, [note for _, note in notes])
        for (place, note), outcome in zip(notes, outcomes, strict=True):
            if isinstance(outcome, Exception):
                yield _failure(place, outcome)
                continue
            try:
                bundle = self._bundle(outcome)
            except Exception as error:
                yield _failure(place, error)
            else:
                yield from self._delivered(place, bundle, has_subject=note.subject is not None)

    def _intakes(self, source: str, content: bytes, format_: Format) -> Iterator[Intake]:
        if format_ == "files":
            return read_content(Path(unquote(urlsplit(source).path)), content, self._settings)
        return intakes_from_json(content, source, self._settings) if holds_note(content) else iter(())

    def _bundle(self, coded: CodedNote) -> dict[str, Any]:
        return to_bundle(coded, ai_security_label=self._settings.ai_security_label)

    def _delivered(self, place: str, bundle: dict[str, Any], *, has_subject: bool) -> Iterator[Row]:
        """Yield the rows of a Bundle; with a server, send it, and yield only why it was not taken.

        Raises `TransientDeliveryError`: the batch fails, and the next run begins with it again.
        """
        try:
            check(bundle)
            if self._client is None:
                yield from list(rows(bundle))
            elif has_subject:
                self._client.send(bundle)
            else:
                raise DeliveryError("no patient is named; the note cannot be sent to a server")
        except TransientDeliveryError:
            raise
        except FhirCoderError as error:
            yield _failure(place, error)


def _transaction(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(records)}


def _place(source: str, content: bytes, format_: Format) -> str:
    """Return by what an input can be found again: Spark does not number the lines of a file."""
    return source if format_ == "files" else f"{source} line with SHA-256 {sha256(content).hexdigest()}"


def _failure(source: str, error: Exception) -> Row:
    place, code = getattr(error, "place", ""), getattr(error, "code", "processing")
    # Only errors of ours hold no text of the note.
    reason = str(error) if isinstance(error, FhirCoderError) else type(error).__name__
    line = orjson.dumps({"source": source, "place": place, "code": code, "reason": reason}).decode()
    return Row(FAILURE, sha256(line.encode()).hexdigest(), line)
