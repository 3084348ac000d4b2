"""Annotated notes from files, in any of the formats that `FORMATS` names; recognised by names and first lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from fhir_coder.corpora import brat, codiesp, conll, label_studio, negex, prodigy, pubtator
from fhir_coder.corpora.annotated import AnnotatedNote
from fhir_coder.corpora.source import Rules
from fhir_coder.errors import CorpusError
from fhir_coder.model import EntityType

FORMATS: Mapping[str, Callable[[Path, Rules], Iterator[AnnotatedNote]]] = MappingProxyType(
    {
        "pubtator": pubtator.read,
        "brat": brat.read,
        "conll": conll.read,
        "label-studio": label_studio.read,
        "prodigy": prodigy.read,
        "negex": negex.read,
        "codiesp": codiesp.read,
    }
)
_SUFFIXES = {
    ".pubtator": "pubtator",
    ".conll": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".bioes": "conll",
    ".jsonl": "prodigy",
    ".json": "label-studio",
}


def read_corpus(
    path: Path,
    format_: str | None = None,
    labels: Mapping[str, EntityType | None] | None = None,
    *,
    faults: list[str] | None = None,
) -> Iterator[AnnotatedNote]:
    """Yield the notes of a corpus, every offset checked against the text.

    `format_` is one of `FORMATS`, recognised where it is None. `labels` go before `mappings/corpus_labels.csv`.
    `faults`: where given, an annotation that is wrong is left out, and the reason (file, line) appended.

    Raises `CorpusError`, at once when the format is not recognised.
    """
    name = format_ or recognise(path)
    if name not in FORMATS:
        raise CorpusError(f"there is no format {name!r}: use one of {', '.join(FORMATS)}", place=path.name)
    return FORMATS[name](path, Rules(labels or {}, faults))


def recognise(path: Path) -> str:
    """Return the format of a file or folder. Raises `CorpusError`."""
    if path.is_dir():
        if any(path.glob(f"*{codiesp.TABLE}")):
            return "codiesp"
        if any(path.glob("*.ann")):
            return "brat"
    elif path.name.endswith(codiesp.TABLE):
        return "codiesp"
    elif (by_suffix := _SUFFIXES.get(path.suffix.lower())) is not None:
        return by_suffix
    else:
        first = _first_line(path)
        if pubtator.TITLE.fullmatch(first):
            return "pubtator"
        if set(negex.columns(first)) >= negex.NEEDED:
            return "negex"
        if first.startswith("-DOCSTART-") or path.suffix.lower() == ".tsv":
            return "conll"
    raise CorpusError(f"not a corpus that is recognised; name its format ({', '.join(FORMATS)})", place=path.name)


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.readline(100_000).decode("utf-8-sig", errors="replace").rstrip("\r\n")
    except OSError as error:
        raise CorpusError(error.strerror or "cannot be read", place=path.name) from error
