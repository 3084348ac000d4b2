"""What is said of several medications at once: a list that is stopped or held, one that takes another's place."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

from fhir_coder.model import EntityType
from fhir_coder.nlp.dictionary import Mention
from fhir_coder.nlp.senses import Place, Sense

# Between the medications of a list of which all is said at once.
_LISTED = re.compile(r"\s*(?:[,/&]|,?\s*\b(?:and|or))\s*(?:(?:her|his|the|their|home|both|also)\s+)*", re.IGNORECASE)
_PLURAL = re.compile(r"[^.;,\n]{0,40}?\b(?:were|have been|had been|are|both)\b", re.IGNORECASE)
_SHARED = frozenset({"stop", "hold"})
_OWN = frozenset({"action", "frequency", "dose", "strength"})
# Between a medication and the one in its place: "warfarin 5 mg daily - changed to apixaban".
_REPLACED = re.compile(
    r"[^.;\n]{0,60}?(?:\b(?:changed|switched|transitioned|converted)\s+(?:over\s+)?to|[-=]+>|→)\s*", re.IGNORECASE
)

Chosen = tuple[Mention, Place, Sense]


def with_common_actions(text: str, chosen: list[Chosen]) -> list[Chosen]:
    """Return the mentions; of the medications, with what is said of a list of them, or of one by naming the next."""
    return _with_replaced(text, _with_shared_actions(text, chosen))


def _with_replaced(text: str, chosen: list[Chosen]) -> list[Chosen]:
    """Stop the medications that another one takes the place of; another form of the same one is none."""
    told = list(chosen)
    medications = [at for at, (_, _, sense) in enumerate(chosen) if sense.type is EntityType.MEDICATION]
    for first, second in pairwise(medications):
        mention, place, sense = told[first]
        other, _, its_sense = told[second]
        codes = {name.concept.code for name in sense.names}
        is_other = bool(codes) and codes.isdisjoint(name.concept.code for name in its_sense.names)
        if is_other and its_sense.names and _REPLACED.fullmatch(text, mention.end, other.start):
            told[first] = (mention, place, replace(sense, attributes={**sense.attributes, "action": "stop"}))
    return told


def _with_shared_actions(text: str, chosen: list[Chosen]) -> list[Chosen]:
    """Say of the medications of a list what is stopped or held with them all.

    "Stop ibuprofen, naproxen and aspirin", "metformin and lisinopril were held". What has a dose, frequency or action
    of its own goes on, and so does what stands behind a comma where the list had begun before: "carvedilol, STOP
    lisinopril, aspirin".
    """
    shared = list(chosen)
    medications = [at for at, (_, _, sense) in enumerate(chosen) if sense.type is EntityType.MEDICATION]
    for before, (source, target) in zip([None, *medications], pairwise(medications), strict=False):
        listed = _listed(text, shared, source, target)
        begins = before is None or shared[before][1].sentence != shared[source][1].sentence
        if listed and (begins or listed != "," or shared[source] is not chosen[source]):
            _share(shared, source, target)
    for target, source in reversed(list(pairwise(medications))):
        mention, place, _ = chosen[source]
        is_plural = _PLURAL.match(text, mention.end, place.sentence[1]) or shared[source] is not chosen[source]
        if is_plural and _listed(text, shared, target, source):
            _share(shared, source, target)
    return shared


def _listed(text: str, chosen: list[Chosen], first: int, second: int) -> str:
    """Return what joins two medications of a list, or an empty string when nothing does, or more stands between."""
    match = _LISTED.fullmatch(text, chosen[first][0].end, chosen[second][0].start)
    return match.group().strip() if match else ""


def _share(chosen: list[Chosen], source: int, target: int) -> None:
    action = chosen[source][2].attributes.get("action")
    mention, place, sense = chosen[target]
    if action in _SHARED and _OWN.isdisjoint(sense.attributes):
        chosen[target] = (mention, place, replace(sense, attributes={**sense.attributes, "action": action}))
