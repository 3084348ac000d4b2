"""Dates that a note states, as the choice elements of resources: onset[x], abatement[x], effective[x], timing[x].

Sources: https://hl7.org/fhir/R4/datatypes.html#dateTime (partial dates), #Period; the extension
http://hl7.org/fhir/StructureDefinition/originalText keeps the words beside what was made of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fhir_coder.fhir.elements import Json, unknown, words
from fhir_coder.model import UCUM, Entity

ORIGINAL_TEXT = "http://hl7.org/fhir/StructureDefinition/originalText"

_DAY = len("2026-03-01")  # from which a date is a day

# What an entity says of a time (`nlp.dated`): the attribute of its words -> the one of the date.
_DATES = {"onset": "onset_date", "abatement": "abatement_date", "deceased": "deceased_date", "time": "date"}


def says(entity: Entity, role: str) -> bool:
    """Tell whether an entity states a time of the given role, in words at least."""
    return bool(entity.attributes.get(role))


def best_stated(mentions: Iterable[Entity], role: str) -> Mapping[str, Any]:
    """Return the attributes of the first mention that states a date or age, else of the first that states words."""
    stating = [each.attributes for each in mentions if says(each, role)]
    told = next((given for given in stating if _DATES[role] in given or f"{role}_age" in given), None)
    return told or (stating[0] if stating else {})


def choice(element: str, given: Mapping[str, Any], role: str, *, dates: bool = True, periods: bool = True) -> Json:
    """Return `elementDateTime`, `elementPeriod`, `elementAge` or `elementString` of a stated time; empty without one.

    A stretch in which it happened is a Period (https://hl7.org/fhir/R4/condition-definitions.html#Condition.onset_x_).
    What the element has no type for (`dates`, `periods`) is told in words.
    """
    if not given.get(role):
        return {}
    text = words(str(given[role]))
    date = str(given.get(_DATES[role], ""))
    if date and dates and (periods or "/" not in date):
        if "/" in date:
            start, end = date.split("/")
            return _with_words(f"{element}Period", {"start": start, "end": end}, text)
        return _with_words(f"{element}DateTime", date, text)
    if (age := given.get(f"{role}_age")) is not None:
        return _with_words(f"{element}Age", years(age), text)
    return {f"{element}String": text}


def years(age: int) -> Json:
    """Return an Age in years."""
    return {"value": age, "unit": "years", "system": UCUM, "code": "a"}


def observed(given: Mapping[str, Any], note_date: str | None, is_historical: bool) -> Json:
    """Return effective[x] of a test: the stated time, else the note's, else that it is not known.

    A year or month becomes a Period: a dateTime must tell the day (vs-1, us-core-1).
    """
    if date := given.get("date"):
        return period("effective", date) if "/" in date or len(date) < _DAY else {"effectiveDateTime": date}
    if given.get("time") or is_historical or note_date is None:
        return {"_effectiveDateTime": {"extension": unknown()}}
    return {"effectiveDateTime": note_date}


def during(element: str, mentions: Iterable[Entity]) -> Json:
    """Return the Period or dateTime in which something was taken or used, or that it is not known.

    Its beginning is the onset, its end the abatement that the mentions state.
    """
    known = list(mentions)
    begun, ended = (_limit(best_stated(known, role), role) for role in ("onset", "abatement"))
    start, end = begun.split("/")[0], ended.split("/")[-1]
    if (start or end) and not (start and end and start > end):
        return {f"{element}Period": {name: day for name, day in (("start", start), ("end", end)) if day}}
    if date := best_stated(known, "time").get("date"):
        return period(element, date) if "/" in date else {f"{element}DateTime": date}
    return {f"_{element}DateTime": {"extension": unknown()}}


def period(element: str, date: str) -> Json:
    """Return the Period of an interval ("2024-02/2024-03-01") or of a year or month."""
    start, _, end = date.partition("/")
    return {f"{element}Period": {"start": start, "end": end or start}}


def _limit(given: Mapping[str, Any], role: str) -> str:
    return str(given.get(_DATES[role], ""))


def _with_words(name: str, value: Any, text: str) -> Json:
    extension = [{"url": ORIGINAL_TEXT, "valueString": text}]
    if isinstance(value, dict):
        return {name: {"extension": extension, **value}}
    return {name: value, f"_{name}": {"extension": extension}}
