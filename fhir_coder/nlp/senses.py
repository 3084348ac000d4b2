"""What a mention means where its name can mean several things.

`K 4.2` is a laboratory value and `potassium 20 mEq daily` a medication; `MS` is multiple sclerosis beside `MRI` and
mitral stenosis beside `murmur`. What stays open is said to be open: the entity is kept, uncoded, with the reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import re2

from fhir_coder.errors import TableError
from fhir_coder.model import HPO, ICD10CM, PROBLEM_TYPES, SNOMED, TEST_TYPES, EntityType, kindred
from fhir_coder.nlp.dictionary import Mention
from fhir_coder.nlp.dosage import is_taken, read_dosage
from fhir_coder.nlp.measurement import is_dose, read_level, read_measurement
from fhir_coder.tables import read_table, split
from fhir_coder.terminology.normalise import WORD, is_abbreviation, normalise
from fhir_coder.terminology.store import ConceptStore, StoredName

_MEDICATION_SECTIONS = frozenset({"medications", "discharge_medications"})
# A urinalysis whose parts are told; but "UA: negative, glucose 110" goes on with the blood.
_URINALYSIS = re2.compile(
    r"(?i)\b(?:ua|u/a|urinalysis|urine dip(?:stick)?|udip)(?:\s*:|\s+(?:with|w/|showed|shows|showing|positive for"
    r"|pos for|notable for|remarkable for|significant for|reveals|revealed|had)\b)(?P<parts>[^;.]*)$"
)
_NOTHING_FOUND = re2.compile(r"(?i)^\s*(?:neg|negative|normal|nl|wnl|unremarkable|clean|clear|bland)\b(?:\s*[,(]|\s*$)")
_STEM = 5  # letters from which a cue may be a stem: "embol", "rheumatolog"
_NEXT_WORD = 20  # characters in which the next word begins
_LEAD = 40  # characters before a test in which its result may stand
_AROUND = 250  # characters on each side, at least, in which a cue counts
_IN_SENTENCE, _IN_SECTION, _NEAR = 3, 2, 1  # votes

# Of several types that fit a mention equally well, the first.
_ORDER = (
    EntityType.DISEASE,
    EntityType.SYMPTOM,
    EntityType.MEDICATION,
    EntityType.DEVICE,
    EntityType.PROCEDURE,
    EntityType.LAB_TEST,
    EntityType.VITAL_SIGN,
    EntityType.ANATOMY,
    EntityType.GENE,
)
# Whose opinion counts on whether a problem is a disease or a symptom.
_TYPE_AUTHORITY = {SNOMED: 0, ICD10CM: 1, HPO: 2}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mention stands."""

    text: str
    sentence: tuple[int, int]
    section: str | None
    next_start: int  # where the next mention begins, at most the sentence's end
    previous_end: int  # where the one before ends, at least the sentence's start


@dataclass(frozen=True, slots=True)
class Sense:
    """The chosen meaning: a type, the names of that type, and the attributes that were read on the way."""

    type: EntityType
    names: tuple[StoredName, ...]
    attributes: Mapping[str, Any]
    ambiguous: str | None = None  # why no meaning could be chosen
    expansion: str | None = None  # what an abbreviation stands for


@dataclass(frozen=True, slots=True)
class _AbbreviationSense:
    name: str
    type: EntityType | None  # None: a meaning that is not coded ("physical exam")
    cues: tuple[str, ...]
    sections: frozenset[str]
    is_default: bool


@cache
def abbreviations() -> Mapping[str, tuple[_AbbreviationSense, ...]]:
    """Return the ambiguous abbreviations and their senses.

    Raises `TableError` when a row has an unknown type, or an abbreviation more than one default.
    """
    columns = ("abbreviation", "sense", "type", "cues", "sections", "default")
    senses: dict[str, list[_AbbreviationSense]] = defaultdict(list)
    for row in read_table("abbreviations.csv", columns):
        try:
            type_ = EntityType(row["type"]) if row["type"] else None
        except ValueError as error:
            raise TableError(f"mappings/abbreviations.csv: {row['abbreviation']}: {error}") from error
        senses[row["abbreviation"]].append(
            _AbbreviationSense(
                row["sense"],
                type_,
                tuple(_cue(cue) for cue in split(row["cues"]) if normalise(cue)),
                frozenset(split(row["sections"])),
                row["default"] == "yes",
            )
        )
    for abbreviation, found in senses.items():
        if sum(sense.is_default for sense in found) > 1:
            raise TableError(f"mappings/abbreviations.csv: {abbreviation}: more than one default")
    return {abbreviation: tuple(found) for abbreviation, found in senses.items()}


def _cue(written: str) -> str:
    """Return what is searched for in normalised words: a short cue or a number whole, a longer one as a beginning."""
    key = normalise(written)
    return f" {key}" if len(key) >= _STEM and not key[-1].isdigit() else f" {key} "


def choose(mention: Mention, place: Place, store: ConceptStore) -> Sense | None:
    """Return what a mention means, or None when it is not an entity here."""
    surface = place.text[mention.start : mention.end]
    listed = _listed(surface) if mention.head is None else None
    if listed is None and not mention.names:  # `cp` in a note without capitals, "Bipolar d/o" at the head of a line
        listed = abbreviations().get(surface.upper()) or abbreviations().get(surface[:1].lower() + surface[1:])
    if mention.type is EntityType.ANATOMY and not mention.names:
        # What is only similar to a part of the body is another one, and is not worth the search.
        return Sense(mention.type, (), {}, "a part of the body is coded by its name only, and this is none")
    if mention.type is not None and not mention.names and listed is None:
        return Sense(mention.type, (), _dosage(mention, place) if mention.type is EntityType.MEDICATION else {})
    if urine := _in_urine(mention, place, store):
        return _by_type(mention, urine, place, _measurement(mention, urine, place, store))
    measurement = _measurement(mention, mention.names, place, store)
    if listed is not None and not measurement:
        return _expand(mention, listed, place, store)
    return _by_type(mention, mention.names, place, measurement)


def is_never_coded(surface: str) -> bool:
    """Tell whether an abbreviation has no meaning that is coded: "d/c", to stop or to discharge."""
    listed = _listed(surface)
    return listed is not None and all(sense.type is None for sense in listed)


def _listed(surface: str) -> tuple[_AbbreviationSense, ...] | None:
    """Return the senses of an ambiguous name; capitals tell abbreviations apart, not a word that begins a sentence."""
    listed = abbreviations().get(surface)
    return abbreviations().get(surface.lower()) if listed is None and not is_abbreviation(surface) else listed


def _expand(
    mention: Mention, listed: tuple[_AbbreviationSense, ...], place: Place, store: ConceptStore
) -> Sense | None:
    votes = [(_votes(sense, mention, place), sense) for sense in listed]
    best = max(vote for vote, _ in votes)
    winners = [sense for vote, sense in votes if vote == best]
    if best == 0 or len(winners) > 1:
        winners = [sense for _, sense in votes if sense.is_default]
    if winners:
        winner = winners[0]
        if winner.type is None:
            return None
        names = _of_type(store.names(normalise(winner.name)), winner.type)
        sense = _by_type(mention, names, place, _measurement(mention, names, place, store), winner.type)
        return replace(sense, expansion=winner.name) if sense else None
    types = [sense.type for sense in listed if sense.type]
    if not types or len(mention.key) == 1:  # an undecided single letter is mostly an initial or a list's letter
        return None
    meanings = ", ".join(sense.name for sense in listed)
    reason = f"ambiguous abbreviation, nothing around it decides between: {meanings}"
    if len({sense.type for sense in listed}) == 1:  # which one is open, what kind of thing it is is not: "insulin"
        return Sense(types[0], (), _dosage(mention, place) if types[0] is EntityType.MEDICATION else {}, reason)
    return Sense(mention.type or types[0], (), {"ambiguous": True}, reason)


def _votes(sense: _AbbreviationSense, mention: Mention, place: Place) -> int:
    start, end = place.sentence
    sentence = _words(place.text[start:end])
    block = mention.start // _AROUND * _AROUND
    near = _words(place.text[max(0, block - _AROUND) : block + 2 * _AROUND])
    votes = _IN_SECTION if place.section in sense.sections else 0
    for cue in sense.cues:
        if cue in sentence:
            votes += _IN_SENTENCE
        # "mg" nearby is some other medication's, "vitals" nearby some other line's.
        elif cue in near and sense.type not in (None, EntityType.MEDICATION):
            votes += _NEAR
    return votes


@lru_cache(maxsize=64)
def _words(text: str) -> str:
    """Return the normal form of a sentence or passage, which many abbreviations in it ask for."""
    return f" {normalise(text)} "


def _of_type(names: tuple[StoredName, ...], type_: EntityType) -> tuple[StoredName, ...]:
    accepted = PROBLEM_TYPES if type_ in PROBLEM_TYPES else {type_}
    return tuple(name for name in names if name.concept.type in accepted)


def _by_type(
    mention: Mention,
    names: tuple[StoredName, ...],
    place: Place,
    measurement: Mapping[str, Any],
    expected: EntityType | None = None,
) -> Sense | None:
    """Return the sense of a mention with the given names; `expected` stands in when the store has no name at all."""
    types = {EntityType(name.concept.type) for name in names if name.concept.type} or (
        {expected} if expected else set()
    )
    if EntityType.MEDICATION in types and _is_followed_by(_medication_blockers(), mention, place):
        types -= {EntityType.MEDICATION}
        if not types:
            return None
    dosage = _dosage(mention, place) if EntityType.MEDICATION in types else {}
    impossible = {type_ for type_ in types if not _is_possible(type_, mention, place, measurement, dosage)}
    if mention.type is EntityType.MEDICATION and mention.type in impossible:
        # The recogniser says that "caffeine" is taken here, and nothing says how: too little for a code.
        reason = f"only a dose or route would tell that {names[0].text} is a medication here"
        return Sense(mention.type, (), {**dosage, "ambiguous": True}, reason)
    types -= impossible
    if not types:
        return None
    type_ = _decide(types, names, place, measurement, dosage, mention.type)
    attributes: Mapping[str, Any] = {}
    if type_ is EntityType.MEDICATION:
        attributes = dosage
    elif type_ in TEST_TYPES:
        level = None if measurement else read_level(_before(mention, place))
        attributes = {"interpretation": level} if level else measurement
    return Sense(type_, _of_type(names, type_), attributes)


def _is_possible(
    type_: EntityType, mention: Mention, place: Place, measurement: Mapping[str, Any], dosage: Mapping[str, Any]
) -> bool:
    needs = _contextual().get((mention.key, type_))
    if type_ in PROBLEM_TYPES:
        if place.text.startswith("-like", mention.end):  # "TIA-like event"
            return False
        return not _is_followed_by(_problem_blockers(), mention, place)
    if type_ in TEST_TYPES:
        if measurement:
            return True
        if is_dose(place.text, mention.end, place.sentence[1]):
            return False
        is_short = is_abbreviation(place.text[mention.start : mention.end]) and len(mention.key) <= 2
        is_everyday = type_ is EntityType.VITAL_SIGN and " " not in mention.key  # "weight", "pulse", "temp"
        return not (needs or is_short or is_everyday)
    if type_ is EntityType.MEDICATION and needs:
        return is_taken(dosage) or place.section in _MEDICATION_SECTIONS
    return True


def _is_followed_by(words: frozenset[str], mention: Mention, place: Place) -> bool:
    following = WORD.search(place.text, mention.end, mention.end + _NEXT_WORD)
    if following is None or following.group().lower() not in words:
        return False
    between = place.text[mention.end : following.start()].strip(" \t-/'s")
    return not between or (between == "\n" and following.group().islower())  # a line that was wrapped


def _decide(
    types: set[EntityType],
    names: tuple[StoredName, ...],
    place: Place,
    measurement: Mapping[str, Any],
    dosage: Mapping[str, Any],
    recognised: EntityType | None,
) -> EntityType:
    tests = types & TEST_TYPES
    is_measured = measurement and not ({"frequency", "route", "form"} & dosage.keys())
    is_dosed = is_taken(dosage) or place.section in _MEDICATION_SECTIONS
    if EntityType.MEDICATION in types and is_dosed and not is_measured:
        return EntityType.MEDICATION
    if tests and measurement:
        return min(tests, key=_ORDER.index)
    if recognised and types & kindred(recognised):
        types = types & kindred(recognised)
    problems = types & PROBLEM_TYPES
    if EntityType.PROCEDURE in types:  # "cesarean section" is also a finding of HPO
        return EntityType.PROCEDURE
    if problems:
        authority = min(
            (name.concept for name in names if name.concept.type in problems),
            key=lambda concept: _TYPE_AUTHORITY.get(concept.system, len(_TYPE_AUTHORITY)),
            default=None,
        )
        return EntityType(authority.type) if authority else min(problems, key=_ORDER.index)
    return min(types, key=_ORDER.index)


def _dosage(mention: Mention, place: Place) -> Mapping[str, Any]:
    return read_dosage(place.text, mention.start, mention.end, place.previous_end, place.next_start)


def _measurement(
    mention: Mention, names: tuple[StoredName, ...], place: Place, store: ConceptStore
) -> Mapping[str, Any]:
    """Return the value behind a mention of a test; empty when no name is a test's, or an amount follows."""
    code = next((name.concept.code for name in names if name.concept.type in TEST_TYPES), None)
    if code is None or is_dose(place.text, mention.end, place.sentence[1]):
        return {}
    before = _before(mention, place)
    return read_measurement(place.text, mention.end, place.sentence[1], store.measures(code), code, before)


def _in_urine(mention: Mention, place: Place, store: ConceptStore) -> tuple[StoredName, ...]:
    """Return the names that a test has in a urinalysis, where one is being told: "UA: nitrite neg, glucose 500"."""
    name = _urine_names().get(mention.key)
    told = _URINALYSIS.search(place.text[place.sentence[0] : mention.start]) if name else None
    if name is None or told is None or _NOTHING_FOUND.match(told.group("parts")):
        return ()
    return store.names(normalise(name))


@cache
def _urine_names() -> Mapping[str, str]:
    rows = read_table("urinalysis.csv", ("name", "meaning"))
    return {normalise(name): row["meaning"] for row in rows for name in split(row["name"])}


def _before(mention: Mention, place: Place) -> str:
    """Return the words between a mention and the one before it, as far as they may speak of it."""
    return place.text[max(place.previous_end, mention.start - _LEAD) : mention.start]


@cache
def _problem_blockers() -> frozenset[str]:
    """Return the words that make a problem's name something else: "influenza vaccine", "fall precautions"."""
    return frozenset(row["word"] for row in read_table("problem_blockers.csv", ("word",)))


@cache
def _medication_blockers() -> frozenset[str]:
    """Return the words that make a medication's name something else: "dobutamine stress test", "Lasix renogram"."""
    return frozenset(row["word"] for row in read_table("medication_blockers.csv", ("word",)))


@cache
def _contextual() -> Mapping[tuple[str, str], str]:
    """Return the names that are of a type only when a dose or value says so, by normal form and type."""
    needs = {}
    for row in read_table("contextual_names.csv", ("name", "type", "needs")):
        if row["needs"] not in ("dose", "value"):
            raise TableError(f"mappings/contextual_names.csv: {row['name']}: needs must be dose or value")
        needs[normalise(row["name"]), row["type"]] = row["needs"]
    return needs
