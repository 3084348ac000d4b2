"""The publishers' formats that can be imported, and which of them some files are."""

from __future__ import annotations

from typing import Protocol

from fhir_coder.errors import TerminologyError
from fhir_coder.terminology.loaders import (
    fhir_json,
    hcpcs,
    icd10cm,
    loinc,
    obo,
    omop,
    plain_csv,
    rxnorm,
    rxterms,
    snomed,
    sssom,
    umls,
)
from fhir_coder.terminology.release import Import, Options
from fhir_coder.terminology.source import Source


class Loader(Protocol):
    """A module under `loaders`."""

    NAME: str
    TITLE: str

    def recognises(self, source: Source) -> bool:
        """Tell whether the files are of this format, by their names or how they begin."""

    def load(self, source: Source, options: Options) -> Import:
        """Return the releases. Raises `TerminologyError`, also while the facts are read."""


LOADERS: dict[str, Loader] = {
    loader.NAME: loader
    # What is most particular about its files goes first.
    for loader in (icd10cm, snomed, rxnorm, rxterms, loinc, hcpcs, umls, omop, sssom, obo, fhir_json, plain_csv)
}


def loader_of(source: Source, format_: str | None) -> Loader:
    """Return the loader of the format that was asked for, or that the files are recognised as.

    Raises `TerminologyError` when there is no such format, or it is none of them.
    """
    if format_ is not None:
        if format_ not in LOADERS:
            raise TerminologyError(f"unknown format {format_!r}: use one of {', '.join(LOADERS)}")
        return LOADERS[format_]
    for loader in LOADERS.values():
        if loader.recognises(source):
            return loader
    known = "\n".join(f"  {name:10}{loader.TITLE}" for name, loader in LOADERS.items())
    raise TerminologyError(f"{source.path.name}: these files are of no known format; known are\n{known}")
