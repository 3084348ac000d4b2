"""ICD-10-CM, complete, from the PyPI package `simple-icd-10-cm` (the CDC/NCHS tabular list, public domain).

Descriptions, inclusion terms and "includes" notes become names. Billable codes are the leaves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from importlib import import_module, metadata
from importlib.resources import files
from typing import Any

from fhir_coder.model import ICD10CM, EntityType
from fhir_coder.terminology.release import Concept, Name, Release

VERSION = "2026-04-01"  # the release inside simple-icd-10-cm 1.5.0
_TABULAR = "icd10c-tabular-April-1-2026.xml"

_PARENTHESES = re.compile(r"\s*[(\[][^)\]]*[)\]]")
_EMPTY_ENDING = re.compile(r",? (?:unspecified|NOS|NEC)$|,? (?:not elsewhere classified|without complications?)$", re.I)
_UNSPECIFIED_START = re.compile(r"^unspecified ", re.I)
_LONGEST_MENTION = 6  # words; longer descriptions are never written out in notes

# Chapters V-Y (external causes) and Z (factors influencing health status) describe circumstances, not findings:
# their descriptions ("Walking into wall") would match ordinary prose.
_NO_MENTION = frozenset("VWXYZ")


def load() -> Release:
    """Return the release.

    The package is imported here and not above: it parses 10 MB of XML on import.
    """
    tabular = files("simple_icd_10_cm") / "data" / _TABULAR
    return Release(
        system=ICD10CM,
        version=VERSION,
        title="ICD-10-CM, April 2026 (CDC/NCHS), complete",
        source=f"simple-icd-10-cm {metadata.version('simple-icd-10-cm')}",
        sha256=sha256(tabular.read_bytes()).hexdigest(),
        concepts=_concepts(),
    )


def _concepts() -> Iterator[Concept]:
    icd = import_module("simple_icd_10_cm")
    for code in dict.fromkeys(icd.get_all_codes(True)):  # a block of one category has its code
        if code.isdigit() or "-" in code:  # chapters and blocks are not codes
            continue
        yield _concept(code, icd)


def _concept(code: str, icd: Any) -> Concept:
    description: str = icd.get_description(code)
    mention = code[0] not in _NO_MENTION and not icd.is_extended_subcategory(code)
    texts = [description, *icd.get_inclusion_term(code), *icd.get_includes(code)]
    parent = icd.get_parent(code)
    return Concept(
        code=code,
        display=description,
        type="" if code[0] in _NO_MENTION else EntityType.SYMPTOM if code[0] == "R" else EntityType.DISEASE,
        names=tuple(_names(texts, mention)),
        codable=icd.is_leaf(code),
        parent="" if "-" in parent else parent,
    )


def _names(texts: list[str], mention: bool) -> Iterator[Name]:
    seen: set[str] = set()
    for position, text in enumerate(texts):
        for variant in (text, plain(text)):
            if variant and variant.lower() not in seen:
                seen.add(variant.lower())
                spoken = mention and "," not in variant and "(" not in variant
                yield Name(
                    text=variant,
                    kind="preferred" if position == 0 else "synonym",
                    mention=spoken and len(variant.split()) <= _LONGEST_MENTION,
                )


def plain(description: str) -> str:
    """Return a description as it is said: without parentheses, "NOS" and "unspecified"."""
    said = _PARENTHESES.sub("", description)
    return _UNSPECIFIED_START.sub("", _EMPTY_ENDING.sub("", said)).strip(" ,")
