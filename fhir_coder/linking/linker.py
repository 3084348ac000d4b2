"""Entities -> ranked candidates per code system, the certain stages first.

1. exact: a name of the concept, letter by letter; 2. normalised: the same but for inflection, spelling, word order;
3. mapped: a map leads there from a concept of another system; 4. lexical: similar letters; 5. dense: similar meaning.
A later stage is asked only when the earlier ones found nothing certain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

from fhir_coder.linking.clinical_drug import clinical_drug
from fhir_coder.linking.dense import DenseIndex
from fhir_coder.linking.lexical import Hit, LexicalIndex
from fhir_coder.model import CODE_SYSTEMS, HCPCS, ICD10CM, LOINC, RXNORM, SNOMED, Candidate, EntityType, Stage
from fhir_coder.terminology.map_rules import PatientContext
from fhir_coder.terminology.normalise import bag, normalise
from fhir_coder.terminology.store import ANYONE, COMBINATION, ConceptStore, StoredConcept, StoredName

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

# Scores until they are calibrated: how far a stage is to be trusted.
_EXACT, _NORMALISED, _REORDERED, _MAPPED, _CROSS_REFERENCED = 1.0, 0.97, 0.93, 0.95, 0.85
_DERIVED = 0.7  # a map read backwards: what maps to a code may mean less than the code
_TO_LEAF = 0.98  # a header's name, taken to its "unspecified" leaf; a retired concept's, to its replacement
_HEADER = "it is a header, and the text does not say which of its codes"
_WITHOUT_CODE = "no loaded release says which code the combination has"
_RETIRED = "it is retired, and no code is stated to have replaced it"
_SAYS_MORE = 0.85  # a name that has all words of the text and others
_SAYS_LESS = 0.98  # an ingredient, beside the clinical drug that the note states
_SHARED = 0.7  # several concepts have this very name as a synonym
_LEXICAL, _DENSE = 0.85, 0.8
_CERTAIN = 0.9  # nothing better is looked for

_KEPT = 100_000  # answers of the similarity stages that are remembered
_SAYS_NOTHING = frozenset("unspecified without complication uncomplicated not specified and of mention".split())
_DEPTH = 4  # levels between a header and its leaves
_SEARCH = 3  # similar names asked for per candidate wanted: several may be of one concept


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


class Linker:
    """Links over one store. The indexes are read, and the encoder loaded, when they are first needed."""

    def __init__(
        self,
        store: ConceptStore,
        lexical: Callable[[], LexicalIndex],
        dense: Callable[[], DenseIndex] | None,
        top: int,
    ) -> None:
        self._store = store
        self._load_lexical = lexical
        self._load_dense = dense
        self._top = top
        self._similar: dict[tuple[str, str, int], tuple[Candidate, ...]] = {}

    @cached_property
    def _lexical(self) -> LexicalIndex:
        return self._load_lexical()

    @cached_property
    def _dense(self) -> DenseIndex | None:
        return self._load_dense() if self._load_dense else None

    def link(self, queries: Sequence[Query]) -> list[tuple[Candidate, ...]]:
        """Return the candidates of each query, per code system in the order asked for, best first."""
        certain = [self._certain(query) for query in queries]
        wanted = {
            (_folded(query.text), system)
            for query, found in zip(queries, certain, strict=True)
            for system in query.systems
            if not _is_settled(found[system])
        }
        self._prefetch(wanted, self._top)
        return [
            tuple(chain.from_iterable(self._ranked(query, system, found[system]) for system in query.systems))
            for query, found in zip(queries, certain, strict=True)
        ]

    def lookup(self, text: str, system: str, top: int) -> tuple[Candidate, ...]:
        """Return the `top` candidates of one code system for a description, from every stage; none is barred."""
        certain = [each for each in self._certain(Query(text, (system,)))[system] if not each.barred]
        self._prefetch({(_folded(text), system)}, top)
        return _merged(certain, self._similar[_folded(text), system, top], top)

    def _ranked(self, query: Query, system: str, certain: list[Candidate]) -> tuple[Candidate, ...]:
        # What another note or a lookup left behind must not change the candidates of what is settled.
        similar = () if _is_settled(certain) else self._similar[_folded(query.text), system, self._top]
        ranked = _merged(certain, similar, self._top)
        return self._with_drug(query, ranked) if system == RXNORM and query.strength and query.form else ranked

    def _with_drug(self, query: Query, ranked: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
        """Put the clinical drug of the stated strength and form before its ingredient, which says less."""
        concept = self._store.concept(RXNORM, ranked[0].code) if ranked else None
        drug = clinical_drug(self._store, concept, query.strength, query.form) if concept else None
        if drug is None:
            return ranked
        first = _candidate_of(drug, ranked[0].display, ranked[0].score, "mapped")
        rest = [replace(candidate, score=round(candidate.score * _SAYS_LESS, 4)) for candidate in ranked]
        return _merged([first], rest, self._top)

    def _certain(self, query: Query) -> dict[str, list[Candidate]]:
        """Return the candidates of the stages exact, normalised and mapped."""
        key = normalise(query.text)
        names = self._store.names(key) if query.names is None else query.names
        found = {system: self._named(query.written or query.text, key, names, system) for system in query.systems}
        for system in query.systems:
            if system in (ICD10CM, SNOMED):
                sources = [name.concept for name in names if name.concept.system != system]
                found[system] = _best_first([*found[system], *self._mapped(sources, system, query.patient)])
        return found

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
        owners = {name.concept.code for _, name in scored}
        # What a clinician means by a word that a full release gives to several concepts, the starter table knows.
        everyday = {name.concept.code for _, name in scored if name.everyday and name.kind != "brand"}
        preferred = everyday or {name.concept.code for _, name in scored if name.kind == "preferred"}
        found = []
        for score, name in scored:
            is_shared = len(owners) > 1 and name.concept.code not in preferred
            stage: Stage = "exact" if score == _EXACT else "normalised"
            found.append(self._candidate(name, score * (_SHARED if is_shared else 1), stage))
        return _best_first(found)

    def _candidate(self, name: StoredName, score: float, stage: Stage) -> Candidate:
        """Return a name's concept as a candidate.

        A header gives way to its unspecified leaf, and a retired concept to the one that replaced it; where there is
        none such, the candidate is barred.
        """
        if name.concept.codable:
            return _candidate_of(name.concept, name.text, score, stage)
        is_header = name.concept.status == "header"
        concept = self._leaf(name.concept) if is_header else self._store.replacement(name.concept)
        if concept:
            return _candidate_of(concept, name.text, score * _TO_LEAF, stage)
        candidate = _candidate_of(name.concept, name.text, score, stage)
        if name.concept.code.startswith(COMBINATION):
            return replace(candidate, code="", barred=_WITHOUT_CODE)
        return replace(candidate, barred=_HEADER if is_header else _RETIRED)

    def _leaf(self, header: StoredConcept) -> StoredConcept | None:
        """Return the billable concept that says no more than a header does: its "unspecified" descendant, if any."""
        concept = header
        for _ in range(_DEPTH):
            children = self._store.children(concept)
            same = [child for child in children if _says_no_more(child.display, header.display)]
            if not same:
                return None
            concept = min(same, key=lambda child: (len(child.display), child.code))
            if concept.codable:
                return concept
        return None

    def _mapped(self, sources: Sequence[StoredConcept], target: str, patient: PatientContext) -> list[Candidate]:
        found = []
        for source in sources:
            stated = _MAPPED if source.system in CODE_SYSTEMS.values() else _CROSS_REFERENCED
            for concept, row in self._store.mapped(source.system, source.code, target, patient):
                score = _DERIVED if row.derived else stated
                # The further groups of a map are codes that are written beside the first, not in its place.
                if concept.codable and row.group == 1:
                    found.append(_candidate_of(concept, source.display, score, "mapped"))
        return found

    def _prefetch(self, wanted: set[tuple[str, str]], top: int) -> None:
        """Find and keep the similar candidates of many (text, system) at once: one batch for the encoder."""
        if len(self._similar) > _KEPT:
            self._similar.clear()
        by_system: dict[str, list[str]] = {}
        for text, system in sorted(wanted):
            if (text, system, top) not in self._similar:
                by_system.setdefault(system, []).append(text)
        unsettled: dict[str, list[str]] = {}
        for system, texts in by_system.items():
            keys = [normalise(text) for text in texts]
            for text, hits in zip(texts, self._lexical.search(keys, system, top * _SEARCH), strict=True):
                self._keep((text, system, top), self._candidates(text, hits, _LEXICAL, "lexical"))
                if self._is_unsettled((text, system, top)):
                    unsettled.setdefault(system, []).append(text)
        if unsettled and self._dense:
            self._add_dense(self._dense, unsettled, top)

    def _add_dense(self, dense: DenseIndex, unsettled: dict[str, list[str]], top: int) -> None:
        """Add the names that are near in meaning, each text being encoded once for all code systems."""
        texts = sorted({text for texts in unsettled.values() for text in texts})
        vectors = dense.encode(texts)
        rows = {text: row for row, text in enumerate(texts)}
        for system, wanted in unsettled.items():
            found = dense.search(vectors[[rows[text] for text in wanted]], system, top * _SEARCH)
            for text, hits in zip(wanted, found, strict=True):
                before = self._similar[text, system, top]
                self._keep((text, system, top), [*before, *self._candidates(text, hits, _DENSE, "dense")])

    def _is_unsettled(self, key: tuple[str, str, int]) -> bool:
        candidates = self._similar[key]
        return not candidates or candidates[0].score < _LEXICAL * _CERTAIN

    def _keep(self, key: tuple[str, str, int], candidates: Sequence[Candidate]) -> None:
        self._similar[key] = _merged(candidates, (), key[2])

    def _candidates(self, text: str, hits: Sequence[Hit], trust: float, stage: Stage) -> list[Candidate]:
        said = set(bag(normalise(text)).split())
        found = []
        for hit in hits:
            name = self._store.name(hit.release, hit.row)
            if name:
                # "computed tomography" is similar to "computed tomography of head", and does not say so much.
                says_more = said < set(bag(normalise(name.text)).split())
                found.append(self._candidate(name, hit.similarity * trust * (_SAYS_MORE if says_more else 1), stage))
        return [candidate for candidate in found if not candidate.barred]


def _is_settled(certain: Sequence[Candidate]) -> bool:
    """Tell whether nothing better than the certain stages' candidates is to be looked for."""
    return any(candidate.score >= _CERTAIN and not candidate.barred for candidate in certain)


def _folded(text: str) -> str:
    """Return the form in which similar names are looked for and remembered: case and line breaks tell nothing."""
    return " ".join(text.lower().split())


def _says_no_more(leaf: str, header: str) -> bool:
    """Tell whether a description only adds to a header's that nothing more is known.

    "Type 2 diabetes mellitus without complications" does; "... with unspecified complications" does not.
    """
    known = set(normalise(header).split())
    words = normalise(leaf).split()
    if "complication" in words and "without" not in words and "complication" not in known:
        return False
    # "unspecified eye", "unspecified side": the one word behind says what is not known.
    added = [
        word
        for before, word in zip(["", *words], words, strict=False)
        if word not in known and word not in _SAYS_NOTHING and before != "unspecified"
    ]
    return not added and bool(_SAYS_NOTHING.intersection(words) or known.issuperset(words))


def _candidate_of(concept: StoredConcept, matched: str, score: float, stage: Stage) -> Candidate:
    return Candidate(
        system=concept.system,
        code=concept.code,
        display=concept.display,
        version=concept.version,
        score=round(score, 4),
        matched=matched,
        stage=stage,
    )


def _best_first(candidates: Sequence[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda candidate: (-candidate.score, len(candidate.display), candidate.code))


def _merged(first: Sequence[Candidate], second: Sequence[Candidate], top: int) -> tuple[Candidate, ...]:
    """Return the best candidate per code of two lists, best first, at most `top`."""
    best: dict[str, Candidate] = {}
    for candidate in _best_first([*first, *second]):
        best.setdefault(candidate.code, candidate)
    return tuple(best.values())[:top]
