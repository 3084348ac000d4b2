"""What a whole note says of the patient and the visit: age, sex, pregnancy, first visit or follow-up.

Nothing is guessed: what the note and its source do not tell stays unknown. A visit counts as the first (seventh
character A) unless the sentence of an injury, or the reason for the visit, says that it is a follow-up or a sequela.
The words are those of `mappings/coding/context_words.csv`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from fhir_coder.coding.evidence import Sign, words_pattern
from fhir_coder.errors import TableError
from fhir_coder.model import Entity, Note, Section
from fhir_coder.tables import read_table, split

NEWBORN_DAYS = 28  # guideline I.C.16: the perinatal period ends with the 28th day
_CONTEXTS = frozenset({"pregnant", "postpartum", "subsequent", "sequela", "screening", "linked", "unrelated"})
_VISIT = frozenset({"chief_complaint"})
_AGES = {"year": 365.25, "month": 30.44, "week": 7.0, "day": 1.0}

_NOT = re.compile(
    r"\b(?:no|not|non|never|denies|denied|negative for|without|w/o|if|when|before|prior|previous|past|last"
    r"|history of|h/o|wants to become|trying to become|planning)(?:[\s-]+\w+){0,3}[\s-]*$",
    re.IGNORECASE,
)
# "Pregnant: N", "Are you pregnant? No", and a question that nobody answers.
_NOT_BEHIND = re.compile(
    r"\s*(?:[:?|=-]\s*)+(?:no\b|n\b|neg|denie|unlikely|\[\s?\]\s*y|☐\s*y|\(\s?\)\s*y)"
    r"|\s*(?:[:?|]\s*)?yes\s*(?:\[\s?\]|☐|\(\s?\))|\s*\?(?!\s*(?:yes|y\b|\[x\]\s*y|☒\s*y))",
    re.IGNORECASE,
)
_BORN = re.compile(
    r"\b(?:born|birth|delivered|delivery|infant|newborn|baby|neonate|ex-?|preterm|premature|term)\b[^.;\n]*$",
    re.IGNORECASE,
)
_RELATIVE = re.compile(r"\b(?:mother|sister|wife|daughter|aunt|girlfriend|partner|maternal)\b[^.;\n]*$", re.IGNORECASE)
_NUMBER = r"(\d{1,2})(?:\s?(?:\+\s?\d|[0-6]/7))?"
_DAYS = r"(?:\s?[0-6]\s?d(?:ays?)?)?"
_PREGNANCY = r"(?:gestation(?:al age)?|pregnant|iup|intrauterine pregnancy)"
# "32 weeks pregnant", "IUP at 28w3d", "G2P1 at 30 weeks", "EGA 30w2d"
_WEEKS = re.compile(
    rf"\b{_NUMBER}[\s-]?(?:weeks?'?|wks?|w){_DAYS}\s(?:of\s)?{_PREGNANCY}\b"
    rf"|\b(?:ega|ga|gestational age|pregnan(?:t|cy)|iup|intrauterine pregnancy|g\d{{1,2}}p\d{{1,4}})"
    rf"\s?(?:of|is|:|at|@)?\s?{_NUMBER}\s?w(?:ee)?k?s?{_DAYS}\b",
    re.IGNORECASE,
)
_WEEKS_AND_DAYS = re.compile(r"\b(\d{1,2})\s?w(?:k?s?)?\s?[0-6]\s?d\b", re.IGNORECASE)
_LONGEST = 44  # weeks
_FAR = 200  # characters beside an injury in which its sentence may tell the encounter
_AROUND = 60  # characters before a word in which it may be denied


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What is known of the patient at the time of the note. `None`: not known."""

    sex: str | None = None
    age_days: int | None = None
    pregnant: Sign | None = None
    postpartum: Sign | None = None
    weeks: int | None = None  # of the pregnancy, completed
    trimester: str | None = None
    trimester_sign: Sign | None = None
    male_pregnancy: Sign | None = None  # the note speaks of a pregnancy, and the patient is male
    visit: Sign | None = None  # words that make the whole visit a follow-up

    @property
    def is_newborn(self) -> bool | None:
        """Whether the patient is in the first 28 days of life."""
        return None if self.age_days is None else self.age_days <= NEWBORN_DAYS


def read_context(note: Note, sections: Sequence[Section]) -> Context:
    """Return what a note and its source say of the patient."""
    age = (note.date.date() - note.birth_date).days if note.date and note.birth_date else None
    if age is not None and age < 0:
        age = None
    pregnant = postpartum = trimester_sign = None
    weeks = None
    if note.sex != "male" and not (age is not None and age < 9 * _AGES["year"]):
        pregnant = _stated(note.text, "pregnant")
        postpartum = _stated(note.text, "postpartum")
        weeks, trimester_sign = _weeks(note.text)
        pregnant = pregnant or trimester_sign
    return Context(
        sex=note.sex,
        age_days=age,
        pregnant=pregnant if not postpartum else None,
        postpartum=postpartum,
        weeks=weeks if not postpartum else None,
        trimester=_trimester(weeks) if not postpartum else None,
        trimester_sign=trimester_sign,
        male_pregnancy=_stated(note.text, "pregnant") if note.sex == "male" else None,
        visit=_visit(note.text, sections),
    )


def encounter(text: str, entity: Entity, context: Context) -> tuple[str, Sign] | None:
    """Return the encounter (`subsequent` or `sequela`) that the note states for an injury, or None: the first."""
    begin, end = max(entity.sentence[0], entity.start - _FAR), min(entity.sentence[1], entity.end + _FAR)
    for name in ("sequela", "subsequent"):
        if match := words(name).search(text, begin, end):
            return name, Sign(match.group(), match.span())
    return ("subsequent", context.visit) if context.visit else None


def words(context: str) -> re.Pattern[str]:
    """Return what finds the words of a context."""
    return words_pattern(_table()[context])


@cache
def _table() -> Mapping[str, tuple[str, ...]]:
    table = {
        row["context"]: split(row["words"]) for row in read_table("coding/context_words.csv", ("context", "words"))
    }
    if table.keys() != _CONTEXTS:
        raise TableError(f"mappings/coding/context_words.csv: the contexts are {', '.join(sorted(_CONTEXTS))}")
    return table


def _stated(text: str, context: str) -> Sign | None:
    for match in words(context).finditer(text):
        before = text[max(0, match.start() - _AROUND) : match.start()]
        is_denied = _NOT.search(before) or _NOT_BEHIND.match(text, match.end())
        if not (is_denied or _BORN.search(before) or _RELATIVE.search(before)):
            return Sign(match.group(), match.span())
    return None


def _weeks(text: str) -> tuple[int | None, Sign | None]:
    """Return the completed weeks of the pregnancy, when the note states one number only."""
    found = _ages(text, _WEEKS) or _ages(text, _WEEKS_AND_DAYS)
    if len(found) != 1:
        return None, None
    ((weeks, sign),) = found.items()
    return (weeks, sign) if weeks <= _LONGEST else (None, None)


def _ages(text: str, pattern: re.Pattern[str]) -> dict[int, Sign]:
    found: dict[int, Sign] = {}
    for match in pattern.finditer(text):
        before = text[max(0, match.start() - _AROUND) : match.start()]
        if not (_NOT.search(before) or _BORN.search(before) or _RELATIVE.search(before)):
            found.setdefault(int(next(filter(None, match.groups()))), Sign(match.group(), match.span()))
    return found


def _trimester(weeks: int | None) -> str | None:
    """Return the trimester (ICD-10-CM chapter 15: to 13w6d, to 27w6d, until delivery)."""
    if weeks is None:
        return None
    return "first" if weeks < 14 else "second" if weeks < 28 else "third"


def _visit(text: str, sections: Sequence[Section]) -> Sign | None:
    for section in sections:
        if section.category in _VISIT:
            match = words("subsequent").search(text, section.body_start, section.end)
            if match:
                return Sign(match.group(), match.span())
    return None
