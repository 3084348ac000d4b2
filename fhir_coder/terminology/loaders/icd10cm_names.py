"""What the names and codes of ICD-10-CM mean for us: their chapter, and how their descriptions are said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from fhir_coder.errors import TableError
from fhir_coder.model import EntityType
from fhir_coder.tables import read_table
from fhir_coder.terminology.release import Name

_CHAPTERS = "terminology/icd10cm_chapters.csv"
_COLUMNS = ("first", "last", "type", "mention", "index_mention", "title")

_PARENTHESES = re.compile(r"\s*[(\[][^)\]]*[)\]]")
_EMPTY_ENDING = re.compile(r",? (?:unspecified|NOS|NEC)$|,? (?:not elsewhere classified|without complications?)$", re.I)
_UNSPECIFIED_START = re.compile(r"^unspecified ", re.I)
_LONGEST_MENTION = 6  # words; longer descriptions are never written out in notes


class Chapter(NamedTuple):
    """A chapter: what its codes are, and whether notes are searched for their names.

    The chapters of external causes and of factors influencing health status describe circumstances, not findings:
    their descriptions ("Walking into wall") would match ordinary prose.
    """

    first: str
    last: str
    type: str
    mention: bool
    index_mention: bool  # entries of the alphabetic index are looked for, too


@cache
def chapter(category: str) -> Chapter | None:
    """Return the chapter of a category (three characters), or None when it is in none.

    Raises `TableError` when the table is malformed.
    """
    return next((entry for entry in _chapters() if entry.first <= category <= entry.last), None)


@cache
def _chapters() -> tuple[Chapter, ...]:
    chapters = []
    for row in read_table(_CHAPTERS, _COLUMNS):
        if row["type"] and row["type"] not in set(EntityType):
            raise TableError(f"mappings/{_CHAPTERS}: {row['first']}: unknown type {row['type']!r}")
        for column in ("mention", "index_mention"):
            if row[column] not in ("yes", "no"):
                raise TableError(f"mappings/{_CHAPTERS}: {row['first']}: {column} is neither yes nor no")
        chapters.append(
            Chapter(row["first"], row["last"], row["type"], row["mention"] == "yes", row["index_mention"] == "yes")
        )
    return tuple(chapters)


def is_code(text: str) -> bool:
    """Tell whether a text without dot has the form of a code: a letter, then two to six letters or digits.

    The second character is a digit except in the categories that were added when a letter had none left (QA0).
    """
    return (
        3 <= len(text) <= 7
        and text.isascii()
        and text.isalnum()
        and text[0].isalpha()
        and (text[1].isdigit() or text[2].isdigit())
        and text == text.upper()
    )


def dotted(code: str) -> str:
    """Return a code with its dot."""
    return f"{code[:3]}.{code[3:]}" if len(code) > 3 else code


def names(code: str, texts: Sequence[str], mention: bool, *, stated: int = 0) -> Iterator[Name]:
    """Yield the names that descriptions and inclusion terms give, each as printed and as it is said.

    The first text is the preferred name. The first `stated` texts are names already, and only keep others from
    being stated again.
    """
    seen: set[str] = set()
    for position, text in enumerate(texts):
        for variant in (text, plain(text)):
            lower = variant.lower()
            if variant and lower not in seen:
                seen.add(lower)
                if position >= stated:
                    spoken = mention and "," not in variant and "(" not in variant
                    short = len(variant.split()) <= _LONGEST_MENTION
                    yield Name(code, variant, "synonym" if position else "preferred", spoken and short)


def plain(description: str) -> str:
    """Return a description as it is said: without parentheses, "NOS" and "unspecified"."""
    said = _PARENTHESES.sub("", description)
    return _UNSPECIFIED_START.sub("", _EMPTY_ENDING.sub("", said)).strip(" ,")
