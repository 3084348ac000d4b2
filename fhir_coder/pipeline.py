"""READ FIRST. The stages in order: a note is read, its entities are linked, and codes are chosen.

    Note -> nlp.reader -> linking.linker -> coding.note_choice -> CodedNote -> fhir.bundle

`Coder` holds what is loaded once; every stage takes frozen records and returns new ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from fhir_coder.coding.note_choice import NoteChoice
from fhir_coder.coding.thresholds import thresholds
from fhir_coder.errors import InputError
from fhir_coder.linking.linker import SYSTEMS, Query
from fhir_coder.model import CODE_SYSTEMS, LOINC, SNOMED, Candidate, CodedNote, Entity, Note, Section, kindred
from fhir_coder.nlp.dates import Calendar
from fhir_coder.nlp.reader import Reader, Reading
from fhir_coder.nlp.recogniser import Recogniser, recogniser_folder
from fhir_coder.nlp.relations import Relations
from fhir_coder.prepare import open_linker, prepare
from fhir_coder.settings import Settings
from fhir_coder.terminology.map_rules import PatientContext
from fhir_coder.terminology.store import ConceptStore
from fhir_coder.terminology.stored_release import StoredRelease
from fhir_coder.tracing import span


class Coder:
    """Codes notes. Load it once, with `from_settings`; it is not to be shared between threads."""

    def __init__(self, settings: Settings, releases: Sequence[Path]) -> None:
        self.settings = settings
        self.store = ConceptStore([StoredRelease(folder) for folder in releases])
        recogniser = recogniser_folder(settings.recogniser)
        self.reader = Reader(self.store, Recogniser.load(recogniser) if recogniser else None)
        self._relations = Relations(self.store)
        self._choice = NoteChoice(self.store)
        self.linker = open_linker(self.store, settings, settings.max_candidates)

    @classmethod
    def from_settings(cls, settings: Settings | Path | str | None = None) -> Coder:
        """Return a coder for the given settings, settings file, or the environment's settings.

        The concept store is built first if it is not there yet (minutes, with a progress bar).

        Raises `SettingsError` or `TerminologyError`.
        """
        if not isinstance(settings, Settings):
            settings = Settings.load(Path(settings) if settings else None)
        return cls(settings, prepare(settings))

    def __call__(self, note: Note, *, min_confidence: float | None = None) -> CodedNote:
        """Return the note with its coded entities.

        `min_confidence` (0..1) takes the place of the setting of that name.

        Raises `InputError` when the note is longer than the setting `max_note_chars`, or no valid Unicode.
        """
        return self._code([note], min_confidence)[0]

    def many(
        self, notes: Iterable[Note], *, batch_size: int = 32, min_confidence: float | None = None
    ) -> Iterator[CodedNote]:
        """Yield the coded notes, in order, the same as one by one; what a batch needs is looked up together."""
        waiting = iter(notes)
        while batch := list(islice(waiting, batch_size)):
            yield from self._code(batch, min_confidence)

    def lookup(self, system: str, text: str, top: int = 5) -> tuple[Candidate, ...]:
        """Return the best `top` candidates for a short description in one code system (`icd10cm`, `snomed`, ...).

        Raises `InputError` when the code system is unknown.
        """
        return self.lookup_many([(system, text)], top)[0]

    def lookup_many(self, pairs: Sequence[tuple[str, str]], top: int = 5) -> list[tuple[Candidate, ...]]:
        """Return what `lookup` does for each (code system, text), in order; what can be done at once is.

        Raises `InputError` when a code system is unknown.
        """
        for system, _ in pairs:
            if system not in CODE_SYSTEMS:
                raise InputError(
                    f"unknown code system {system!r}: use one of {', '.join(CODE_SYSTEMS)}",
                    place="system",
                    code="code-invalid",
                )
        return self.linker.lookup_many([(text, CODE_SYSTEMS[system]) for system, text in pairs], top)

    def _code(self, notes: list[Note], min_confidence: float | None) -> list[CodedNote]:
        least = thresholds(self.settings.min_confidence if min_confidence is None else min_confidence)
        with span("read", notes=len(notes)):
            read = [self._read(note) for note in notes]
        queries = [
            Query(
                text=reading.meaning,
                systems=() if reading.ambiguous else SYSTEMS[reading.entity.type],
                names=reading.names,
                written=reading.entity.text,
                patient=patient,
                strength=_strength(reading.entity.attributes),
                form=reading.entity.attributes.get("form", ""),
            )
            for patient, (_, readings) in zip(map(_patient, notes), read, strict=True)
            for reading in readings
        ]
        with span("link", entities=len(queries)):
            linked = iter(self.linker.link(queries))
        coded = []
        with span("choose", notes=len(notes)):
            for note, (sections, readings) in zip(notes, read, strict=True):
                drafts = [self._linked(reading, next(linked)) for reading in readings]
                chosen, remarks = self._choice.choose(note, sections, drafts, least)
                entities = tuple(map(self._with_category, chosen))
                relations = self._relations.read(note.text, entities)
                coded.append(
                    CodedNote(note=note, sections=sections, entities=entities, relations=relations, remarks=remarks)
                )
        return coded

    def _linked(self, reading: Reading, candidates: tuple[Candidate, ...]) -> Entity:
        if reading.ambiguous:
            return replace(reading.entity, abstained=reading.ambiguous)
        if reading.names:  # those of its kind were taken
            return replace(reading.entity, candidates=candidates)
        return replace(reading.entity, candidates=tuple(self._of_its_kind(each, reading.entity) for each in candidates))

    def _of_its_kind(self, candidate: Candidate, entity: Entity) -> Candidate:
        """Return a candidate, barred where its concept is another kind of thing: a fall is no device.

        Only SNOMED CT has problems, devices and procedures side by side.
        """
        concept = self.store.concept(SNOMED, candidate.code) if candidate.system == SNOMED else None
        if concept is None or not concept.type or concept.type in kindred(entity.type) or candidate.barred:
            return candidate
        return replace(candidate, barred=f"it is a {concept.type}, and the note speaks of a {entity.type}")

    def _with_category(self, entity: Entity) -> Entity:
        test = entity.coding(LOINC)
        concept = self.store.concept(LOINC, test.code) if test else None
        category = dict(self.store.properties(concept)).get("category") if concept else None
        return replace(entity, attributes={**entity.attributes, "category": category}) if category else entity

    def _read(self, note: Note) -> tuple[tuple[Section, ...], list[Reading]]:
        if len(note.text) > self.settings.max_note_chars:
            raise InputError(
                f"the note has {len(note.text):,} characters, more than max_note_chars "
                f"({self.settings.max_note_chars:,}) allows: split it, or raise the setting",
                place="text",
                code="too-long",
            )
        try:
            note.text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"the character at offset {error.start} is half of a surrogate pair: decode the text anew", place="text"
            ) from error
        calendar = Calendar(
            day=note.date.date() if note.date else None,
            birth=note.birth_date,
            day_first=self.settings.date_order == "day-first",
        )
        return self.reader.read(note.text, calendar)


def code_each(coder: Coder, notes: Sequence[Note]) -> Iterator[CodedNote | Exception]:
    """Yield the coded notes of a batch, in order, or why one could not be coded.

    Where the batch fails, each note is coded on its own, so that one does not take the others with it.
    """
    try:
        yield from list(coder.many(notes, batch_size=max(1, len(notes))))
        return
    except Exception as error:
        if len(notes) == 1:
            yield error
            return
    for note in notes:
        yield from code_each(coder, [note])


def _patient(note: Note) -> PatientContext:
    age = (note.date.date() - note.birth_date).days if note.date and note.birth_date else None
    return PatientContext(sex=note.sex, age_days=age if age is not None and age >= 0 else None)


def _strength(attributes: Mapping[str, Any]) -> str:
    """Return the strength of a medication: stated as such, or the amount before its form ("20 mg tablets")."""
    if "strength" in attributes or "dose_high" in attributes or "dose" not in attributes:
        return str(attributes.get("strength", ""))
    return f"{attributes['dose']} {attributes['unit']}"
