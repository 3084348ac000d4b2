"""Candidates of a text whose words are misspelt or shortened: names that it is when they are repaired.

A wrong code harms a patient. So the score falls with the number of edits, more so where other wordings are names of
other concepts ("celebyx" is one letter from Cerebyx and two from Celebrex), and most for drugs, whose names are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress

from fhir_coder.linking.named import MAPPED_SYSTEMS, Named, best_first
from fhir_coder.linking.wording import Wording, Wordings
from fhir_coder.model import HPO, ICD10CM, RXNORM, SNOMED, Candidate
from fhir_coder.terminology.map_rules import PatientContext

_PROBLEMS = (ICD10CM, SNOMED, HPO)  # names of all three lead to the codes of either

# Scores until they are calibrated.
_BEST = 0.95  # of a text that needs no edit
_EDIT, _DRUG_EDIT = 0.07, 0.12  # what an edit costs
_AS_NEAR, _NEARLY = 0.5, 2.1  # edits that a rival is farther away; the second of a short word counts as two
_RIVAL, _NEAR_RIVAL, _NEAR_RIVAL_DRUG = 0.75, 0.97, 0.85
_ORDER = 0.001  # keeps wordings that are as near in the order of their use


@dataclass(frozen=True, slots=True)
class Repair:
    """The candidates of the repaired text, and how to look for it by meaning: `trust` (0..1) is what that is worth."""

    candidates: tuple[Candidate, ...]
    likely: str
    trust: float


class Repaired:
    """The stage `repaired` over one store."""

    def __init__(self, named: Named, wordings: Wordings) -> None:
        self._named = named
        self._wordings = wordings

    def find(self, text: str, system: str, patient: PatientContext) -> Repair:
        """Return what a text means in a code system when its words are repaired."""
        wordings = self._wordings.of(text, _PROBLEMS if system in MAPPED_SYSTEMS else (system,))
        edit = _DRUG_EDIT if system == RXNORM else _EDIT
        known = self._named.may_be_named([wording.text for wording in wordings])
        named = [
            (wording.distance, found)
            for wording in compress(wordings, known)
            if (found := self._named.find(wording.text, (system,), patient=patient)[system])
        ]
        candidates = [
            replace(
                candidate,
                score=round(candidate.score * (_BEST - edit * distance) * _doubt(place, named, system), 4),
                stage="repaired",
            )
            for place, (distance, found) in enumerate(named)
            for candidate in found
            if edit * distance < _BEST
        ]
        likely, trust = _likely(text, wordings, edit)
        return Repair(tuple(best_first(candidates)), likely, trust)


def _doubt(place: int, named: Sequence[tuple[float, list[Candidate]]], system: str) -> float:
    """Return what is left of the score of a wording (0..1) where others are names of other concepts."""
    distance, found = named[place]
    rivals = [
        other_distance - distance
        for other_distance, other in named
        if other is not found and other[0].code != found[0].code
    ]
    nearest = min(rivals, default=_NEARLY)
    if nearest < _AS_NEAR:
        return _RIVAL - _ORDER * place
    if nearest < _NEARLY:
        return _NEAR_RIVAL_DRUG if system == RXNORM else _NEAR_RIVAL
    return 1.0


def _likely(text: str, wordings: Sequence[Wording], edit: float) -> tuple[str, float]:
    """Return the one wording that is nearest by far, or else the text as it is."""
    if not wordings or (len(wordings) > 1 and wordings[1].distance - wordings[0].distance < _AS_NEAR):
        return text, 1.0
    return wordings[0].text, max(0.0, 1.0 - edit * wordings[0].distance)
