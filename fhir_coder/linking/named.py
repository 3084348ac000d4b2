"""Candidates whose name is what the text says: letter by letter, but for inflection or word order, or through a map."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from fhir_coder.model import CODE_SYSTEMS, ICD10CM, SNOMED, Candidate, Stage
from fhir_coder.terminology.map_rules import PatientContext
from fhir_coder.terminology.normalise import bag, normalise
from fhir_coder.terminology.store import ANYONE, COMBINATION, ConceptStore, StoredConcept, StoredName

MAPPED_SYSTEMS = (ICD10CM, SNOMED)
"""The code systems that names of other systems lead to through maps."""

# Scores until they are calibrated: how far a stage is to be trusted.
_EXACT, _NORMALISED, _REORDERED, _MAPPED, _CROSS_REFERENCED = 1.0, 0.97, 0.93, 0.95, 0.85
_DERIVED = 0.7  # a map read backwards: what maps to a code may mean less than the code
_TO_LEAF = 0.98  # a header's name, taken to its "unspecified" leaf; a retired concept's, to its replacement
_SHARED = 0.7  # several concepts have this very name as a synonym
_HEADER = "it is a header, and the text does not say which of its codes"
_WITHOUT_CODE = "no loaded release says which code the combination has"
_RETIRED = "it is retired, and no code is stated to have replaced it"
_SAYS_NOTHING = frozenset("unspecified without complication uncomplicated not specified and of mention".split())
_JOINING = frozenset("and or other elsewhere classified".split())
_BRACKETS = re.compile(r"\s*(?:\([^()]*\)|\[[^\[\]]*\])")
_ELSEWHERE = "in diseases classified elsewhere"
_DEPTH = 4  # levels between a header and its leaves


class Named:
    """The certain stages over one store: exact, normalised, mapped."""

    def __init__(self, store: ConceptStore) -> None:
        self._store = store

    def find(
        self,
        text: str,
        systems: Sequence[str],
        *,
        names: Sequence[StoredName] | None = None,
        written: str | None = None,
        patient: PatientContext = ANYONE,
    ) -> dict[str, list[Candidate]]:
        """Return the candidates per code system, best first; some may be barred.

        `names` are the names that were found for the text before; `written` is the abbreviation, where the text is what
        it stands for.
        """
        key = normalise(text)
        if names is None:
            names = self._store.names(key)
        found = {system: self._named(written or text, key, names, system) for system in systems}
        called = names or self._store.names_by_bag(bag(key))  # "stenosis of the aortic valve"
        trust = 1.0 if names else _REORDERED
        for system in systems:
            if system in MAPPED_SYSTEMS:
                sources = [name.concept for name in called if name.concept.system != system]
                found[system] = best_first([*found[system], *self._mapped(sources, system, patient, trust)])
        return found

    def may_be_named(self, texts: Sequence[str]) -> list[bool]:
        """Tell of texts whether `find` may find something, in any code system; many are asked for at once."""
        return self._store.may_be_names([normalise(text) for text in texts])

    def _named(self, text: str, key: str, names: Sequence[StoredName], system: str) -> list[Candidate]:
        scored = [
            (_EXACT if name.text.lower() == text.lower() else _NORMALISED, name)
            for name in names
            if name.concept.system == system
        ]
        if not scored:
            scored = [
                (_REORDERED, name) for name in self._store.names_by_bag(bag(key)) if name.concept.system == system
            ]
        # A manifestation is never what a disease is called first (ICD-10-CM guideline I.A.13).
        scored = [each for each in scored if _ELSEWHERE not in each[1].concept.display] or scored
        owners = {name.concept.code for _, name in scored}
        # What a clinician means by a word that a full release gives to several concepts, the starter table knows.
        everyday = {name.concept.code for _, name in scored if name.everyday and name.kind != "brand"}
        preferred = everyday or {name.concept.code for _, name in scored if name.kind == "preferred"}
        found = []
        for score, name in scored:
            is_shared = len(owners) > 1 and name.concept.code not in preferred
            stage: Stage = "exact" if score == _EXACT else "normalised"
            found.append(self.candidate(name, score * (_SHARED if is_shared else 1), stage))
        return best_first(found)

    def candidate(self, name: StoredName, score: float, stage: Stage) -> Candidate:
        """Return a name's concept as a candidate.

        A header gives way to its unspecified leaf, and a retired concept to the one that replaced it; where there is
        none such, the candidate is barred.
        """
        if name.concept.codable:
            return candidate_of(name.concept, name.text, score, stage)
        is_header = name.concept.status == "header"
        concept = self._leaf(name.concept, name.text) if is_header else self._store.replacement(name.concept)
        if concept:
            return candidate_of(concept, name.text, score * _TO_LEAF, stage)
        candidate = candidate_of(name.concept, name.text, score, stage)
        if name.concept.code.startswith(COMBINATION):
            return replace(candidate, code="", barred=_WITHOUT_CODE)
        return replace(candidate, barred=_HEADER if is_header else _RETIRED)

    def _leaf(self, header: StoredConcept, name: str) -> StoredConcept | None:
        """Return the billable concept that says no more than a header by its name: its "unspecified" descendant.

        Where there is none, the one for others is meant: "other pulmonary embolism with acute cor pulmonale" (I26.09).
        """
        concept = header
        for _ in range(_DEPTH):
            children = self._store.children(concept)
            same = [child for child in children if _says_no_more(child.display, header.display, name)]
            same = same or [child for child in children if child.display.lower() == f"other {header.display}".lower()]
            if not same:
                return None
            concept = min(same, key=lambda child: ("nspecified" not in child.display, len(child.display), child.code))
            if concept.codable:
                return concept
        return None

    def _mapped(
        self, sources: Sequence[StoredConcept], target: str, patient: PatientContext, trust: float
    ) -> list[Candidate]:
        found = []
        for source in sources:
            stated = trust * (_MAPPED if source.system in CODE_SYSTEMS.values() else _CROSS_REFERENCED)
            for concept, row in self._store.mapped(source.system, source.code, target, patient):
                score = trust * _DERIVED if row.derived else stated
                # The further groups of a map are codes that are written beside the first, not in its place.
                if concept.codable and row.group == 1:
                    found.append(candidate_of(concept, source.display, score, "mapped"))
        return found


def _says_no_more(leaf: str, header: str, name: str) -> bool:
    """Tell whether a description only adds to a header's, which is called by a name, that nothing more is known.

    "Type 2 diabetes mellitus without complications" does; "... with unspecified complications" does not, nor does
    "Nausea" to "Nausea and vomiting".
    """
    known = set(normalise(header).split())
    # "unspecified eye", "unspecified side": the one word behind says what is not known; "unspecified, spleen" is known.
    words: list[tuple[str, str]] = []
    for clause in leaf.split(","):
        said = normalise(clause).split()
        words += zip(["", *said], said, strict=False)
    told = {word for _, word in words}
    if "complication" in told and "without" not in told and "complication" not in known:
        return False
    is_more = any(word not in known and word not in _SAYS_NOTHING and before != "unspecified" for before, word in words)
    is_less = known.intersection(normalise(_BRACKETS.sub("", name)).split()) - told - _SAYS_NOTHING - _JOINING
    return not is_more and not is_less and bool(_SAYS_NOTHING & told or known == told)


def candidate_of(concept: StoredConcept, matched: str, score: float, stage: Stage) -> Candidate:
    """Return a concept as a candidate."""
    return Candidate(
        system=concept.system,
        code=concept.code,
        display=concept.display,
        version=concept.version,
        score=round(score, 4),
        matched=matched,
        stage=stage,
    )


def best_first(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return candidates by score; of those that share one, the shortest description goes first."""
    return sorted(candidates, key=lambda candidate: (-candidate.score, len(candidate.display), candidate.code))


def merged(first: Sequence[Candidate], second: Sequence[Candidate], top: int) -> tuple[Candidate, ...]:
    """Return the best candidate per code of two lists, best first, at most `top`."""
    best: dict[str, Candidate] = {}
    for candidate in best_first([*first, *second]):
        best.setdefault(candidate.code, candidate)
    return tuple(best.values())[:top]
