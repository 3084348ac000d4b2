"""What the vocabularies of OMOP are to us: their codes, concept classes and versions.

What a concept class is in the terms of its publisher: `mappings/terminology/omop_classes.csv` (a semantic tag of
SNOMED CT, a term type of RxNorm, a CLASSTYPE of LOINC). What that is in a note is told by the tables that the
publishers' own files are read with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from fhir_coder.errors import TableError
from fhir_coder.model import HCPCS, ICD10CM, LOINC, RXNORM, SNOMED
from fhir_coder.tables import read_table
from fhir_coder.terminology.loaders import snomed_tables
from fhir_coder.terminology.loaders.hcpcs import is_level_2, types
from fhir_coder.terminology.loaders.icd10cm_names import chapter, is_code, names
from fhir_coder.terminology.loaders.loinc_codes import types as loinc_types
from fhir_coder.terminology.loaders.rxnorm import is_spoken, term_types
from fhir_coder.terminology.release import Name, Status

SYSTEMS: Mapping[str, str] = MappingProxyType(
    {"SNOMED": SNOMED, "ICD10CM": ICD10CM, "RxNorm": RXNORM, "LOINC": LOINC, "HCPCS": HCPCS}
)
_TABLE = "terminology/omop_classes.csv"
_LONGEST_MENTION = 4  # words; of LOINC and HCPCS
# Namespaces of what the US edition holds beside the core: its own, and those of Kaiser Permanente's contributions.
_US_NAMESPACES = frozenset({"1000124", "1000119"})


class Kind(NamedTuple):
    """What a concept is in a note: entity type, status unless it is retired, and whether it is looked for."""

    type: str
    status: Status
    mention: bool


@cache
def classes() -> Mapping[tuple[str, str], str]:
    """Return what a concept class of a vocabulary means. Raises `TableError` when the table is malformed."""
    allowed = {
        "SNOMED": set(snomed_tables.types()),
        "RxNorm": set(term_types()),
        "LOINC": {"1", "2", "3", "4"},
        "ICD10CM": {"code", "header"},
        "HCPCS": {"code"},
    }
    found = {}
    for number, row in enumerate(read_table(_TABLE, ("vocabulary", "class", "means")), 2):
        if row["means"] not in allowed.get(row["vocabulary"], ()):
            raise TableError(f"mappings/{_TABLE}:{number}: {row['vocabulary']} has no {row['means']!r}")
        found[row["vocabulary"], row["class"]] = row["means"]
    return found


def is_of(vocabulary: str, code: str) -> bool:
    """Tell whether a code is one of the publisher, which may be emitted.

    Athena adds chapters and ranges (ICD10CM), parts, answers and groups (LOINC), modifiers (HCPCS), and codes of the
    British and veterinary extensions (SNOMED). The dental codes of HCPCS belong to the ADA.
    """
    return code.isascii() and _FORMS[vocabulary](code)


def _is_snomed(code: str) -> bool:
    if not (code.isdecimal() and 6 <= len(code) <= 18):
        return False
    # Partition 00 is the core, 10 an extension with its namespace before: SNOMED CT Editorial Guide, SCTID.
    return code[-3:-1] == "00" or (code[-3:-1] == "10" and code[-10:-3] in _US_NAMESPACES)


def _is_icd10cm(code: str) -> bool:
    bare = code.replace(".", "", 1)
    return is_code(bare) and code.find(".") == (3 if len(bare) > 3 else -1)


_LOINC_CODE = re.compile(r"[0-9]{1,8}-[0-9]")
_FORMS: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {
        "SNOMED": _is_snomed,
        "ICD10CM": _is_icd10cm,
        "RxNorm": str.isdecimal,
        "LOINC": lambda code: _LOINC_CODE.fullmatch(code) is not None,
        "HCPCS": is_level_2,
    }
)


def kind_of() -> Callable[[str, str, str], Kind]:
    """Return what gives the kind of a concept by vocabulary, concept class and code."""
    loinc, hcpcs = loinc_types(), types()

    def kind(vocabulary: str, class_: str, code: str) -> Kind:
        means = classes().get((vocabulary, class_), "")
        if vocabulary == "SNOMED":
            return Kind(type_ := snomed_tables.types().get(means, ""), "active", bool(type_))
        if vocabulary == "RxNorm":
            tty = term_types().get(means)
            return Kind(tty["type"], "active", tty["mention"] == "yes") if tty else Kind("", "active", False)
        if vocabulary == "LOINC":
            type_, _ = loinc(code, "", means, "")
            return Kind(type_, "active", bool(type_))
        if vocabulary == "ICD10CM":
            rules = chapter(code[:3])
            # A code with a 7th character is called as the code above it, plus what the character means.
            mention = rules is not None and rules.mention and len(code) < 8
            return Kind(rules.type if rules else "", "header" if means == "header" else "active", mention)
        type_ = hcpcs(code)
        return Kind(type_, "active", bool(type_))

    return kind


def names_of(vocabulary: str, code: str, text: str, *, preferred: bool, mention: bool) -> Iterator[Name]:
    """Yield the names that a name of OMOP gives, as the publisher's own loader would."""
    if vocabulary == "ICD10CM":  # without a preferred name before it, a text counts as a synonym
        yield from names(code, [text] if preferred else ["", text], mention)
        return
    if mention and vocabulary == "SNOMED":
        mention = snomed_tables.is_mention(text)
    elif mention and vocabulary == "RxNorm":
        mention = is_spoken(text)
    elif mention:
        # LOINC has many terms of one name, told apart by a rank that OMOP does not have.
        shared = vocabulary == "LOINC" and not preferred
        mention = not shared and text.count(" ") < _LONGEST_MENTION and not set(text) & set(",;:/()[]")
    yield Name(code, text, "preferred" if preferred else "synonym", mention and text != code)


_VERSIONS: Mapping[str, tuple[re.Pattern[str], str]] = MappingProxyType(
    {  # as VOCABULARY.csv states it, and as it goes into Coding.version
        "ICD10CM": (re.compile(r"\bFY ?(20\d\d)\b"), r"\1"),
        "LOINC": (re.compile(r"\bLOINC (\d\.\d+)"), r"\1"),
        "RxNorm": (re.compile(r"\bRxNorm (?:Full )?(\d{4})(\d{4})\b"), r"\2\1"),
        "HCPCS": (re.compile(r"\b(20\d\d)(?:(\d\d)\d\d)?\b"), r"\1-\2"),
        "SNOMED": (
            re.compile(r"\b(\d{4})-(\d\d)-(\d\d) SNOMED CT US Edition"),
            rf"{SNOMED}/731000124108/version/\1\2\3",
        ),
    }
)


def version_of(vocabulary: str, stated: str) -> str:
    """Return a version as the publisher calls it, or as stated where it is of another form."""
    pattern, form = _VERSIONS[vocabulary]
    match = pattern.search(stated)
    return match.expand(form).rstrip("-") if match else stated
