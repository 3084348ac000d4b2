"""ConceptMap/$translate: where the maps of the loaded releases lead from a code, with their rules of age and sex.

Source: https://hl7.org/fhir/R4/conceptmap-operation-translate.html. A match of R4 has equivalence, concept and source
and no place for the advice of a map, nor for what keeps a rule from being told: they are said in `message`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from fhir_coder.errors import InputError
from fhir_coder.service.terminology import Parameter, absent, parameters
from fhir_coder.service.terminology_call import Call, Coded, Kinds
from fhir_coder.service.terminology_patient import patient_of
from fhir_coder.service.terminology_systems import is_internal, known_concept, loaded_version, value_set_system
from fhir_coder.terminology.map_rules import PatientContext
from fhir_coder.terminology.release import MapRow, Relationship
from fhir_coder.terminology.store import ConceptStore, StoredConcept

TRANSLATE: Kinds = {
    "url": "string",
    "system": "string",
    "code": "string",
    "version": "string",
    "coding": "Coding",
    "codeableConcept": "CodeableConcept",
    "source": "string",
    "target": "string",
    "targetsystem": "string",
    "dependency": "parts",
    "reverse": "boolean",
}
MAPS = "http://fhir-coder.org/fhir/ConceptMap/"  # and the origin of a map, in letters and hyphens

_MOST = 1_000  # matches
# Relationships that are no ConceptMapEquivalence; of replaced-by, https://hl7.org/fhir/R4/snomedct.html says so.
_EQUIVALENCE: Mapping[str, str] = MappingProxyType(
    {"replaced-by": "equivalent", "tradename-of": "wider", "has-ingredient": "relatedto"}
)


class _Match(NamedTuple):
    concept: StoredConcept
    row: MapRow


def translate(store: ConceptStore, call: Call) -> dict[str, Any]:
    """Return the matches of all codings, at most 1,000, and in `message` what else there is to say.

    With `reverse`, the codes that the maps lead from to this code. Raises `InputError` when no code's system is loaded.
    """
    reverse = call.truth("reverse")
    system = call.text("system")
    if system and not call.all("code"):
        raise InputError("the system belongs into the coding; leave it out", place=call.place("system"))
    asked_map, patient = _asked_map(call), patient_of(call)
    source, targets = _systems(store, call, reverse=reverse)
    matches: list[_Match] = []
    said: list[str] = []
    for asked in _loaded(store, call.coded(system, call.text("version"), named="system"), source):
        concept = known_concept(store, asked)
        if concept is None:
            said.append(absent(store, asked))
            continue
        for target in targets:
            rows, open_ = _rows(store, concept, target, patient, reverse=reverse)
            found, notes = _matched(store, target, [row for row in rows if asked_map in (None, _url(row))])
            matches += found
            said += [*open_, *notes]
        if concept.status == "retired" and (replacement := store.replacement(concept)):
            said.append(f"{concept.code} is retired; it was replaced by {replacement.code} ({replacement.display})")
    if len(matches) > _MOST:
        said.append(f"these are the first {_MOST} of {len(matches)} matches; say a targetsystem")
    if not matches and not said:
        said.append("no map of the loaded releases leads from this code to the target")
    return parameters(
        ("result", "valueBoolean", bool(matches)),
        *([("message", "valueString", "; ".join(dict.fromkeys(said)))] if said else []),
        *(("match", "part", _parts(match)) for match in matches[:_MOST]),
    )


def _loaded(store: ConceptStore, codes: list[Coded], source: str | None) -> Iterable[Coded]:
    """Return the codings of the source, where one is said, whose version is loaded. Raises `InputError` without any."""
    loaded, errors = [], []
    for asked in codes:
        try:
            loaded_version(store, asked.system, asked.version, asked.place)
            if source and asked.system != source:
                raise InputError(f"the code is not of {source}, which is said to be its source", place=asked.place)
            loaded.append(asked)
        except InputError as error:
            errors.append(error)
    if not loaded:
        raise errors[0]
    return loaded


def _systems(store: ConceptStore, call: Call, *, reverse: bool) -> tuple[str | None, tuple[str, ...]]:
    """Return the code system of the codes asked about, where it is said, and those that are sought.

    `reverse` swaps source and target, as R4 has it. `targetsystem` is what is sought in any case: nothing else could
    say it. A code system's URL may stand for its value set: Snowstorm's documentation has it so for `target`.
    """
    stated = {name: _value_set(store, call, name) for name in ("source", "target")}
    given, sought = (stated["target"], stated["source"]) if reverse else (stated["source"], stated["target"])
    target_system = call.text("targetsystem")
    if target_system:
        loaded_version(store, target_system, None, call.place("targetsystem"))
        if sought and sought != target_system:
            raise InputError("another system is sought, too; leave one out", place=call.place("targetsystem"))
        sought = target_system
    return given, (sought,) if sought else store.systems


def _value_set(store: ConceptStore, call: Call, name: str) -> str | None:
    url = call.text(name)
    if url is None or store.base(url):
        return url
    return value_set_system(store, url, None, call.place(name))


def _asked_map(call: Call) -> str | None:
    url = call.text("url")
    if url and not url.startswith(MAPS):
        raise InputError(
            "this concept map is not known; leave url out, and the answer names the maps as source",
            place=call.place("url"),
            code="not-found",
        )
    return url


def _rows(
    store: ConceptStore, concept: StoredConcept, target: str, patient: PatientContext, *, reverse: bool
) -> tuple[Iterable[MapRow], list[str]]:
    """Return the statements that hold, and of each group of rules where none does, why."""
    system, code = concept.system, concept.code
    if reverse:
        rows = store.inverse_rows(system, code, target)
        return [_asked_in_reverse(row) for row in rows if row.relationship != "unmatched"], []
    choices = store.choices(system, code, target, patient)
    holding = [row for row in store.map_rows(system, code, target) if not row.rule]
    holding += [choice.row for choice in choices if choice.row is not None]
    return holding, [
        f"group {choice.group} of the map: {choice.reason}"
        + (f"; it is one of {', '.join(row.target_code or 'none' for row in choice.open)}" if choice.open else "")
        + ("; say sex and age with dependency" if "not known" in choice.reason else "")
        for choice in choices
        if choice.row is None
    ]


def _asked_in_reverse(row: MapRow) -> MapRow:
    """Return an inverted row as one who asks for it by `reverse` takes it: he knows that it is read backwards."""
    relationship: Relationship = "narrower" if row.relationship == "tradename-of" else row.relationship
    return row._replace(origin=row.origin.removesuffix(" (inverse)"), relationship=relationship, derived=False)


def _matched(store: ConceptStore, target: str, rows: Iterable[MapRow]) -> tuple[list[_Match], list[str]]:
    """Return the matches, and what is to be said of them and of rows that lead to none."""
    matches, notes = [], []
    for row in rows:
        concept = None if is_internal(row.target_code) else store.concept(target, row.target_code)
        if row.relationship == "unmatched" or not row.target_code:
            notes.append(f"{row.origin} states that there is no match in {target}")
        elif concept is None:
            notes.append(f"{row.origin} leads to {row.target_code}, which is not in the loaded release of {target}")
        else:
            matches.append(_Match(concept, row))
            if concept.status == "retired":
                notes.append(f"{concept.code} is retired")
            if row.derived:
                notes.append(f"{_url(row)} is derived: concluded, not stated by its source")
        if row.advice:
            notes.append(f"{row.target_code}: {row.advice}" if row.target_code else row.advice)
    return matches, notes


def _parts(match: _Match) -> list[Parameter]:
    concept, row = match
    coding = {name: getattr(concept, name) for name in ("system", "version", "code", "display")}
    return [
        ("equivalence", "valueCode", _EQUIVALENCE.get(row.relationship, row.relationship)),
        ("concept", "valueCoding", coding),
        ("source", "valueUri", _url(row)),
    ]


def _url(row: MapRow) -> str:
    return MAPS + re.sub(r"[^a-z0-9]+", "-", row.origin.lower()).strip("-")
