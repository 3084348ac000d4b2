"""Documents as they come, one version after another, and what is delivered of them; no models, no terminology."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from fhir_coder.delivery.database import open_database
from fhir_coder.delivery.deliver import Deliverer
from fhir_coder.delivery.dispatch import dispatch_of
from fhir_coder.delivery.effect import Effect
from fhir_coder.fhir.bundle import to_bundle
from fhir_coder.fhir.checks import check
from fhir_coder.ingest.hl7v2 import parse
from fhir_coder.ingest.hl7v2_content import read_message
from fhir_coder.model import LOINC, RXNORM, SNOMED, CodedNote, Coding, Entity, EntityType, Note
from fhir_coder.settings import Settings

WORDS = {
    "hypertension": (EntityType.DISEASE, SNOMED, "38341003", {}),
    "diabetes": (EntityType.DISEASE, SNOMED, "44054006", {}),
    "asthma": (EntityType.DISEASE, SNOMED, "195967001", {}),
    "metformin 500 mg": (EntityType.MEDICATION, RXNORM, "6809", {"dose": 500, "unit": "mg", "sig": "500 mg"}),
    "metformin 850 mg": (EntityType.MEDICATION, RXNORM, "6809", {"dose": 850, "unit": "mg", "sig": "850 mg"}),
    "penicillin": (EntityType.MEDICATION, RXNORM, "70618", {"allergy": True}),
    "pacemaker": (EntityType.DEVICE, SNOMED, "14106009", {}),
    "HbA1c 7.2": (EntityType.LAB_TEST, LOINC, "4548-4", {"value": 7.2, "unit": "%"}),
}
ALL = "hypertension, diabetes, metformin 500 mg, penicillin, pacemaker, HbA1c 7.2"


def coded(note: Note) -> CodedNote:
    """Return the note with the WORDS that stand in it."""
    entities = []
    for words, (type_, system, code, attributes) in WORDS.items():
        start = note.text.find(words)
        if start >= 0:
            coding = Coding(
                system=system, code=code, display=words, version="1", score=1.0, stage="exact", reason="its name"
            )
            end = start + len(words)
            entities.append(
                Entity(text=words, start=start, end=end, type=type_, codings=(coding,), attributes=dict(attributes))
            )
    return CodedNote(note=note, entities=tuple(entities))


def note(identifier: str, text: str, subject: str = "Patient/7", **more: Any) -> Note:
    """Return the note of a DocumentReference that stands on a server."""
    return Note(text=text, id=identifier, document=f"DocumentReference/{identifier}", subject=subject, **more)


def message(event: str, number: str, text: str = "", parent: str = "", status: str = "AU") -> Note:
    """Return the note of an MDM message about document `number`."""
    lines = [
        rf"MSH|^~\&|APP|HOSP|US|HERE|20250422183015||MDM^{event}|M{event}{number}|P|2.5.1",
        "PID|1||844^^^RIVER^MR||Doe^Jane",
        f"TXA|1|PR||20250422||||||||{number}^NOTE|{parent}^NOTE||||{status}"
        if parent
        else f"TXA|1|PR||20250422||||||||{number}^NOTE|||||{status}",
    ]
    lines += [f"OBX|1|TX|||{text}"] if text else []
    (found,) = read_message(parse("\r".join(lines).encode()), Settings()).notes
    return found


class Office:
    """Delivers notes one by one, each with a Deliverer of its own, as separate runs do."""

    def __init__(self, data_dir: Path, **settings: Any) -> None:
        self.settings = Settings(data_dir=data_dir, **settings)

    def deliver(self, given: Note, *more: Note) -> tuple[Effect, ...]:
        """Code and deliver notes; return the effects."""
        engine = open_database(self.settings.data_dir)
        deliverer = Deliverer(self.settings, engine)
        try:
            effects = [each for one in (given, *more) for each in deliverer.deliver(self._dispatch(one))]
        finally:
            deliverer.close()
            engine.dispose()
        return tuple(effects)

    def _dispatch(self, given: Note) -> Any:
        bundle = to_bundle(coded(given))
        check(bundle)
        return dispatch_of(given, bundle, self.settings)


def changes(effects: tuple[Effect, ...]) -> list[tuple[str, str]]:
    """Return what was done to resources of which type."""
    return sorted((each.what, each.place.partition("/")[0]) for each in effects)


def withdrawn(given: Note) -> Note:
    """Return the note as it comes when it was entered in error."""
    return replace(given, text="", withdrawn=True, doc_status="entered-in-error")
