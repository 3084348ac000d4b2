"""What the tabular list says of the codes of a note together: Excludes1, code first, use additional code, their order.

The notes are properties of the concepts (`excludes1`, `codeFirst`, `useAdditionalCode`); what stands at a category
holds for all codes below it. Excludes1 means that two codes are not written together (guideline I.A.12.a); where the
conditions are unrelated they may be, which a person has to say: conflicts are reported, nothing is taken out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations

from fhir_coder.coding.axes import CATEGORY
from fhir_coder.coding.codes import names, references
from fhir_coder.model import ICD10CM, Remark
from fhir_coder.terminology.store import ConceptStore, StoredConcept

_CACHED = 1 << 14
# What cannot stand first; "any associated gangrene", "if applicable" are for when there is such a thing.
_MANIFESTATION = re.compile(r"(?:the )?underlying(?!.*\bif (?:known|applicable))", re.IGNORECASE)
Spans = tuple[tuple[int, int], ...]


class Conventions:
    """Reads the notes of the tabular list over one store. It may be shared between threads."""

    def __init__(self, store: ConceptStore) -> None:
        self._store = store
        self.notes = lru_cache(_CACHED)(self._notes)
        self.excluded = lru_cache(_CACHED)(self._read_excluded)

    def remarks(self, codes: Mapping[str, Spans]) -> list[Remark]:
        """Return what is to be said of the codes of a note, which are given with their mentions' places."""
        found = [remark for one, other in combinations(codes, 2) for remark in self._excluded(one, other, codes)]
        for code in codes:
            found += self._first(code, codes)
            found += self._additional(code, codes)
        return found

    def ordered(self, codes: Sequence[str]) -> list[str]:
        """Return codes in the order in which they are written: the cause before what it caused, else as given."""
        before = {code: set(self._before(code, codes)) for code in codes}
        done: list[str] = []
        waiting = list(codes)
        while waiting:
            ready = next((code for code in waiting if before[code].isdisjoint(waiting)), waiting[0])
            waiting.remove(ready)
            done.append(ready)
        return done

    def _before(self, code: str, codes: Sequence[str]) -> Iterator[str]:
        for other in codes:
            if other != code and (
                any(names(references(text), other) for text in self.notes(code, "codeFirst"))
                or any(names(references(text), code) for text in self.notes(other, "useAdditionalCode"))
            ):
                yield other

    def _notes(self, code: str, kind: str) -> tuple[str, ...]:
        """Return the notes of one kind at a code and at what stands above it."""
        found = []
        concept = self._store.concept(ICD10CM, code)
        while concept:
            found += [text for name, text in self._store.properties(concept) if name == kind]
            concept = _first_of(self._store.parents(concept))
        return tuple(dict.fromkeys(found))

    def _read_excluded(self, first: str, second: str) -> str | None:
        """Return the Excludes1 note at one code that names another, or None."""
        return next((text for text in self.notes(first, "excludes1") if names(references(text), second)), None)

    def _excluded(self, one: str, other: str, codes: Mapping[str, Spans]) -> Iterator[Remark]:
        for first, second in ((one, other), (other, one)):
            if note := self.excluded(first, second):
                text = (
                    f'{first} and {second} are not written together: at {first} stands Excludes1 "{note}"; keep one, '
                    "unless the two are unrelated"
                )
                yield Remark(kind="excludes1", codes=(first, second), text=text, spans=codes[first] + codes[second])
                return

    def _first(self, code: str, codes: Mapping[str, Spans]) -> Iterator[Remark]:
        notes = self.notes(code, "codeFirst")
        if not notes:
            return
        there = [other for other in codes if other != code and any(names(references(text), other) for text in notes)]
        said = _on_one_line(notes[0])
        if there:
            text = f'{" and ".join(there)} before {code}, which says "code first {said}"'
            yield Remark(kind="code-first", codes=(*there, code), text=text, spans=codes[code])
        elif any(_MANIFESTATION.match(note) for note in notes):
            text = f'{code} says "code first {said}", and no such code was found in the note'
            yield Remark(kind="code-first", codes=(code,), text=text, spans=codes[code])

    def _additional(self, code: str, codes: Mapping[str, Spans]) -> Iterator[Remark]:
        for note in self.notes(code, "useAdditionalCode"):
            there = [other for other in codes if other != code and names(references(note), other)]
            if there:
                text = f'{" and ".join(there)} beside {code}, which says "use additional {_on_one_line(note)}"'
                yield Remark(kind="use-additional", codes=(code, *there), text=text, spans=codes[code])
        concept = self._store.concept(ICD10CM, code)
        own = [text for name, text in self._store.properties(concept) if name == "useAdditionalCode"] if concept else []
        for note in own:
            wanted = references(note)
            is_one_thing = len({first[:CATEGORY] for first, _ in wanted}) == 1  # and no list of what there may be
            if is_one_thing and not any(names(wanted, other) for other in codes if other != code):
                text = f'{code} says "use additional {_on_one_line(note)}", and no such code was found in the note'
                yield Remark(kind="use-additional", codes=(code,), text=text, spans=codes[code])


def _first_of(parents: Sequence[StoredConcept]) -> StoredConcept | None:
    return parents[0] if parents else None


def _on_one_line(text: str) -> str:
    return "; ".join(line.strip().rstrip(":") for line in text.splitlines() if line.strip()).replace("; ", ": ", 1)
