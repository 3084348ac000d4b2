"""The records that flow through the stages, in the order in which they come to be.

All of them are frozen: a stage takes records and returns new ones. Offsets count characters of
`Note.text`, so `note.text[entity.start:entity.end] == entity.text` holds for every entity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date as calendar_date  # Note has a field called date
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal

ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
SNOMED = "http://snomed.info/sct"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
LOINC = "http://loinc.org"
HCPCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
UCUM = "http://unitsofmeasure.org"
HPO = "http://purl.obolibrary.org/obo/hp.owl"

# The short names by which users call the code systems that may be emitted (`fhir-coder lookup icd10cm ...`).
CODE_SYSTEMS: Mapping[str, str] = MappingProxyType(
    {"icd10cm": ICD10CM, "snomed": SNOMED, "rxnorm": RXNORM, "loinc": LOINC, "hcpcs": HCPCS}
)


class EntityType(StrEnum):
    """What an entity is; decides the code systems it is linked to and the resource it becomes."""

    DISEASE = "disease"
    SYMPTOM = "symptom"
    MEDICATION = "medication"
    LAB_TEST = "lab-test"
    VITAL_SIGN = "vital-sign"
    PROCEDURE = "procedure"
    DEVICE = "device"
    ANATOMY = "anatomy"
    GENE = "gene"


PROBLEM_TYPES = frozenset({EntityType.DISEASE, EntityType.SYMPTOM})
TEST_TYPES = frozenset({EntityType.LAB_TEST, EntityType.VITAL_SIGN})


def kindred(type_: EntityType) -> frozenset[EntityType]:
    """Return the types between which a name may be taken for either: problems, tests, else the type alone."""
    return next((group for group in (PROBLEM_TYPES, TEST_TYPES) if type_ in group), frozenset({type_}))


Certainty = Literal["certain", "possible", "hypothetical"]
Temporality = Literal["current", "historical", "future"]
Experiencer = Literal["patient", "family", "other"]

Stage = Literal["exact", "normalised", "mapped", "repaired", "dense", "lexical"]
"""Where a candidate came from, the most certain first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a part of a note's text stood in what it was read out of."""

    start: int
    end: int
    place: str  # "page 2", "section 10160-0 Medications", "nonXMLBody, page 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """An attachment of the note's document from which the text was not taken."""

    place: str  # FHIRPath
    reason: str  # why not: it is the same in another form, or it could not be read


@dataclass(frozen=True, kw_only=True)
class Note:
    """A clinical note and where it came from."""

    text: str
    # What the source calls the document (DocumentReference.id, TXA-12, a file's name); None for bare text.
    id: str | None = None
    # References of the FHIR resources the note belongs to: "Patient/7", "urn:uuid:...".
    subject: str | None = None
    encounter: str | None = None
    document: str | None = None
    # Of the patient, where the source tells: maps between code systems have rules of sex and age.
    sex: Literal["female", "male"] | None = None
    birth_date: calendar_date | None = None
    # The document's time with its zone, and its LOINC type code; used for effective and recorded times.
    date: datetime | None = None
    type_code: str | None = None
    # preliminary | final | amended | entered-in-error, as in DocumentReference.docStatus.
    doc_status: str | None = None
    # Transaction entries that the intake made (Patient, Encounter, DocumentReference) and that are
    # written together with the coded resources. Plain FHIR dicts with "fullUrl" and "request".
    context: tuple[Mapping[str, Any], ...] = ()
    # Of a text that was read out of a PDF, a CDA document: its pages, its sections, in order. Empty for plain text.
    origins: tuple[Origin, ...] = ()
    # The life of the document (DocumentReference.relatesTo, MDM^T09 to T11). References as in `document`: by which else
    # others may call it (its identifiers), and of those whose place it takes.
    names: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    # Of those whose text this one holds in another form (transforms, signs): what they said is not written twice.
    repeats: tuple[str, ...] = ()
    # Entered in error, or superseded by another one: what it gave is taken back, and nothing of it is written.
    withdrawn: bool = False
    # Only `doc_status` is told, of a document whose text came before (MDM^T03).
    is_status_alone: bool = False
    # The attachment the text was taken from (FHIRPath), and the document's other attachments.
    attachment: str | None = None
    passed_over: tuple[PassedOver, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A titled part of a note."""

    category: str | None  # a category of mappings/sections.csv; None before the first title
    title: str
    start: int  # of the title
    body_start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """What the text says about an entity (ConText: Harkema 2009; i2b2 2010 for the classes)."""

    negated: bool = False
    certainty: Certainty = "certain"
    temporality: Temporality = "current"
    experiencer: Experiencer = "patient"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """Words of the note that decided on an entity's assertion ("denies"), and what they say."""

    category: str  # of medspaCy's ConText rules and mappings/context_rules.csv: NEGATED_EXISTENCE, FAMILY ...
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A concept that may be meant by an entity."""

    system: str  # URI
    code: str
    display: str
    version: str  # the release the code came from
    score: float  # 0..1
    matched: str  # the name of the concept that matched
    stage: Stage
    # Why it must not be chosen, though it may be the best: it is a header, it is retired, it is for the other sex.
    barred: str = ""
    reason: str = ""  # why it was chosen, or why it was not


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the choice of a code, in words that a coder can check: "E11.9 -> E11.22, because ..."."""

    rule: str  # name, patient, site, detail, same problem, combination, encounter, screening (`coding`)
    before: str  # the code before; "" at the first step
    after: str  # the code that the step led to, or that it kept
    reason: str
    spans: tuple[tuple[int, int], ...] = ()  # of the note's words that speak for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """A chosen code. `reason` says in a sentence why it was chosen, `steps` how the note's context led to it."""

    system: str
    code: str
    display: str
    version: str
    score: float  # of the candidate that the choice began with
    stage: Stage
    reason: str
    matched: str = ""  # the name of that candidate
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """A span of the note that means a clinical thing."""

    text: str
    start: int
    end: int
    type: EntityType
    section: str | None = None
    sentence: tuple[int, int] = (0, 0)  # start and end of the sentence it stands in
    assertion: Assertion = Assertion()
    cues: tuple[Cue, ...] = ()  # what decided on it; none where nothing did, or the section
    # Medication: see nlp.dosage.read_dosage. Test: see nlp.measurement.read_measurement, and category (of FHIR
    # Observations). Problem and device: see nlp.findings.read_findings. spans: where some of them stand.
    # Family: relative.
    # Allergies: allergy, reaction.
    # ambiguous: not even the type is sure, `abstained` says between what.
    attributes: Mapping[str, Any] = field(default_factory=dict)
    codings: tuple[Coding, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    abstained: str | None = None

    def coding(self, system: str) -> Coding | None:
        """Return the chosen coding of the given system (URI), or None."""
        return next((coding for coding in self.codings if coding.system == system), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Words of the note that are an end of a relation and no entity: a dosage, a body site."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A directed relation between two entities of one note, or an entity and words about it (`nlp.relations`)."""

    subject: Entity | Words
    predicate: str  # TREATS, CAUSES, LOCATED_IN, DOSAGE_OF, TEST_FOR, CONTRAINDICATES, INTERACTS_WITH
    object: Entity | Words
    score: float  # 0..1, how sure it is


RemarkKind = Literal[
    "excludes1", "code-first", "use-additional", "combination", "history", "family-history", "contradiction", "sequence"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """What a coder should know of the ICD-10-CM codes of a note together: a conflict, an order, a further code."""

    kind: RemarkKind
    codes: tuple[str, ...]  # ICD-10-CM, in the order in which they are to be written
    text: str
    spans: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class CodedNote:
    """A note with all that was read out of it."""

    note: Note
    sections: tuple[Section, ...] = ()
    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()
    remarks: tuple[Remark, ...] = ()
