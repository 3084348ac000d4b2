"""READ FIRST in this folder. Entities -> ranked candidates per code system, the certain stages first.

1. exact: a name of the concept, letter by letter; 2. normalised: the same but for inflection, spelling, word order;
3. mapped: a map leads there from a concept of another system (1 to 3: named.py); 4. repaired: a name, when misspelt and
shortened words are repaired (repaired.py); 5. dense: similar meaning; 6. lexical: similar letters (similar.py).
A later stage is asked only when the earlier ones found nothing certain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from fhir_coder.linking.calibration import calibrated
from fhir_coder.linking.clinical_drug import clinical_drug
from fhir_coder.linking.dense import DenseIndex
from fhir_coder.linking.kept import Kept
from fhir_coder.linking.lexical import LexicalIndex
from fhir_coder.linking.named import Named, candidate_of, merged
from fhir_coder.linking.repaired import Repair, Repaired
from fhir_coder.linking.similar import Similar
from fhir_coder.linking.spelling import Spelling
from fhir_coder.linking.wording import Wordings
from fhir_coder.model import HCPCS, ICD10CM, LOINC, RXNORM, SNOMED, Candidate, EntityType
from fhir_coder.terminology.map_rules import PatientContext
from fhir_coder.terminology.store import ANYONE, ConceptStore, StoredName

SYSTEMS: dict[EntityType, tuple[str, ...]] = {
    EntityType.DISEASE: (SNOMED, ICD10CM),
    EntityType.SYMPTOM: (SNOMED, ICD10CM),
    EntityType.MEDICATION: (RXNORM,),
    EntityType.LAB_TEST: (LOINC,),
    EntityType.VITAL_SIGN: (LOINC,),
    EntityType.DEVICE: (HCPCS, SNOMED),
    EntityType.PROCEDURE: (SNOMED,),
    EntityType.ANATOMY: (SNOMED,),
    EntityType.GENE: (),
}
"""The code systems an entity is linked to. A device is never linked to RxNorm, nor a problem to HCPCS."""

_CERTAIN = 0.9  # nothing better is looked for
_REPAIRED = 0.8  # nor for what was repaired so surely
_SAYS_LESS = 0.98  # an ingredient, beside the clinical drug that the note states
_KEPT = 100_000  # looked up descriptions that are remembered


@dataclass(frozen=True, slots=True)
class Query:
    """What is to be linked: the words, and the names of the store that the dictionary already found for them."""

    text: str
    systems: tuple[str, ...]
    names: tuple[StoredName, ...] | None = None  # None: look them up
    written: str | None = None  # the abbreviation, where `text` is what it stands for: no name of that is exact
    patient: PatientContext = ANYONE  # for maps with rules of age and sex
    strength: str = ""  # of a medication: "10 mg"
    form: str = ""  # a form of mappings/medication_forms.csv


@dataclass(frozen=True, slots=True)
class _Found:
    """What the certain and the repaired stages found for a text in one code system."""

    candidates: list[Candidate]
    repair: Repair | None  # None: the certain stages settled it
    is_settled: bool


class Linker:
    """Links over one store. The indexes are read, and the encoder loaded, when they are first needed."""

    def __init__(
        self,
        store: ConceptStore,
        lexical: Callable[[], LexicalIndex],
        dense: Callable[[], DenseIndex | None] | None,
        top: int,
    ) -> None:
        self._store = store
        self._top = top
        self._named = Named(store)
        self._repaired = Repaired(self._named, Wordings(Spelling(store)))
        self._similar = Similar(store, self._named, lexical, dense)
        self._linked: Kept[Query, tuple[Candidate, ...]] = Kept(_KEPT)
        self._looked_up: Kept[tuple[str, str, int], tuple[Candidate, ...]] = Kept(_KEPT)

    def link(self, queries: Sequence[Query]) -> list[tuple[Candidate, ...]]:
        """Return the candidates of each query, per code system in the order asked for, best first."""
        different = dict.fromkeys(queries)
        answers = {query: kept for query in different if (kept := self._linked.get(query)) is not None}
        new = [query for query in different if query not in answers]
        for query, candidates in zip(new, self._link(new), strict=True):
            answers[query] = candidates
            self._linked.put(query, candidates)
        return [answers[query] for query in queries]

    def _link(self, queries: Sequence[Query]) -> list[tuple[Candidate, ...]]:
        asked = [(query, system, found) for query in queries for system, found in self._settled(query).items()]
        ranked = iter(self._ranked([(query.text, system, found) for query, system, found in asked], self._top))
        return [
            tuple(
                chain.from_iterable(
                    self._with_drug(query, system, calibrated(next(ranked))) for system in query.systems
                )
            )
            for query in queries
        ]

    def lookup(self, text: str, system: str, top: int) -> tuple[Candidate, ...]:
        """Return the `top` candidates of one code system for a description, from every stage; none is barred.

        Beside what is settled by its name stand the names that are spelt like it.
        """
        return self.lookup_many([(text, system)], top)[0]

    def lookup_many(self, pairs: Sequence[tuple[str, str]], top: int) -> list[tuple[Candidate, ...]]:
        """Return what `lookup` does for each (text, code system), in order; what can be done at once is."""
        answers: dict[tuple[str, str], tuple[Candidate, ...]] = {}
        new = []
        for text, system in dict.fromkeys(pairs):
            kept = self._looked_up.get((text, system, top))
            if kept is None:
                new.append((text, system, _allowed(self._settled(Query(text, (system,)))[system])))
            else:
                answers[text, system] = kept
        ranked = self._ranked(new, top)
        few = [place for place, (_, _, found) in enumerate(new) if found.is_settled and len(ranked[place]) < top]
        beside = self._similar.spelt_like([(_folded(new[place][0]), new[place][1]) for place in few], top)
        for place, more in zip(few, beside, strict=True):
            ranked[place] = merged(ranked[place], more, top)
        for (text, system, _), candidates in zip(new, ranked, strict=True):
            answers[text, system] = calibrated(candidates)
            self._looked_up.put((text, system, top), answers[text, system])
        return [answers[pair] for pair in pairs]

    def _settled(self, query: Query) -> dict[str, _Found]:
        """Return what the certain stages, and where they do not settle it the repaired one, find in each system."""
        certain = self._named.find(
            query.text, query.systems, names=query.names, written=query.written, patient=query.patient
        )
        return {system: self._repair(query, system, certain[system]) for system in query.systems}

    def _repair(self, query: Query, system: str, certain: list[Candidate]) -> _Found:
        if _is_settled(certain, _CERTAIN) or _is_name(certain):
            return _Found(certain, None, True)
        repair = self._repaired.find(query.text, system, query.patient)
        return _Found([*certain, *repair.candidates], repair, _is_settled(repair.candidates, _REPAIRED))

    def _ranked(self, asked: Sequence[tuple[str, str, _Found]], top: int) -> list[tuple[Candidate, ...]]:
        """Return the best candidates of each text; the similar names of what is not settled are found all at once."""
        open_ = [(text, system, found.repair) for text, system, found in asked if not found.is_settled and found.repair]
        similar = iter(self._similar.find([(_folded(repair.likely), system) for _, system, repair in open_], top))
        ranked = []
        for _, _, found in asked:
            more: list[Candidate] = []
            if not found.is_settled and found.repair:
                more = _doubted(next(similar), found.repair)
            ranked.append(merged(found.candidates, more, top))
        return ranked

    def _with_drug(self, query: Query, system: str, ranked: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
        """Put the clinical drug of the stated strength and form before its ingredient, which says less."""
        if system != RXNORM or not ranked or not (query.strength and query.form):
            return ranked
        concept = self._store.concept(RXNORM, ranked[0].code)
        drug = clinical_drug(self._store, concept, query.strength, query.form) if concept else None
        if drug is None:
            return ranked
        first = candidate_of(drug, ranked[0].display, ranked[0].score, "mapped")
        rest = [replace(candidate, score=round(candidate.score * _SAYS_LESS, 4)) for candidate in ranked]
        return merged([first], rest, self._top)


def _is_settled(candidates: Sequence[Candidate], score: float) -> bool:
    """Tell whether nothing better than these candidates is to be looked for."""
    return any(candidate.score >= score and not candidate.barred for candidate in candidates)


def _is_name(candidates: Sequence[Candidate]) -> bool:
    """Tell whether the text is a name, though perhaps of several concepts: what is only like it does not decide."""
    return any(candidate.stage in ("exact", "normalised") and not candidate.barred for candidate in candidates)


def _doubted(similar: Sequence[Candidate], repair: Repair) -> list[Candidate]:
    """Return similar candidates for what they are worth: to a code that the repaired stage doubts they add nothing."""
    doubted = {candidate.code for candidate in repair.candidates}
    return [
        replace(candidate, score=round(candidate.score * repair.trust, 4))
        for candidate in similar
        if candidate.code not in doubted
    ]


def _allowed(found: _Found) -> _Found:
    return replace(found, candidates=[candidate for candidate in found.candidates if not candidate.barred])


def _folded(text: str) -> str:
    """Return the form in which similar names are looked for and remembered: case and line breaks tell nothing."""
    return " ".join(text.lower().split())
