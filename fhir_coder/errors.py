"""Every error that the package raises on purpose.

    FhirCoderError
    ├── SettingsError           a setting is wrong; the program does not start
    ├── TableError              a table under mappings/ is malformed
    ├── TerminologyError        the concept store is missing, broken or of another version
    ├── StorageError            the database of what waits cannot be used
    ├── QueueFullError          as much waits as the settings allow; nothing more is taken in
    ├── CodingFailedError       the process that coded a note died of it, or took too long
    ├── CodingStoppedError      a note was not coded because the program ends
    ├── TrainingError           a recogniser cannot be trained on what was given
    ├── BenchmarkError          a benchmark cannot be run: its server cannot be reached or did not start
    ├── CertificateError        development certificates cannot be made or are incomplete
    ├── AccessError             a caller is not known, or may not do what it asks
    ├── InputError              an input cannot be read as a note; the input is at fault
    │   ├── UnsupportedError    the input is well-formed, but of a kind that is not read
    │   └── CorpusError         annotated notes cannot be read; the message names file and line
    ├── ConformanceError        a Bundle breaks a rule of FHIR; nothing of it may leave
    └── DeliveryError           a FHIR server did not take what was sent
        └── TransientDeliveryError   and may take it later

The message says what is wrong, where, and what to do. It never holds note text or identifiers.
"""

from __future__ import annotations


class FhirCoderError(Exception):
    """Base of all errors of this package."""


class SettingsError(FhirCoderError):
    """A setting has a value that cannot be used."""


class TableError(FhirCoderError):
    """A table under `mappings/` has a row that cannot be used; the message names file and line."""


class TerminologyError(FhirCoderError):
    """The concept store cannot be built or read."""


class StorageError(FhirCoderError):
    """The database of what was taken in and what is to go out cannot be used: its URL or its schema is not ours."""


class QueueFullError(FhirCoderError):
    """As much waits as the settings allow, or the disk is nearly full; the sender is to come again later."""


class CodingFailedError(FhirCoderError):
    """A note took its process down, or longer than the setting coding_seconds allows."""


class CodingStoppedError(FhirCoderError):
    """A note was not coded because the program ends; it is coded at the next start."""


class TrainingError(FhirCoderError):
    """A recogniser cannot be trained: the corpora or the base model cannot be used."""


class BenchmarkError(FhirCoderError):
    """A benchmark cannot be run: its server cannot be reached, did not start, or there is nothing to ask it."""


class CertificateError(FhirCoderError):
    """Development certificates cannot be written, or some of those that are there are missing."""


class AccessError(FhirCoderError):
    """A caller of the service is not known, or may not do what it asks; the message says no more than is safe.

    `kind` is a FHIR IssueType: "login" (not known), "expired", "security", "transient", or "forbidden" (known, but may
    not).
    """

    def __init__(self, message: str, *, kind: str = "login") -> None:
        super().__init__(message)
        self.kind = kind


class InputError(FhirCoderError):
    """An input cannot be read as a note.

    `place` is where in the input the fault lies, in the input's own terms: a FHIRPath expression
    ("DocumentReference.content[0].attachment.data") or an HL7 v2 location ("MSH-9").
    `code` is a FHIR IssueType (https://hl7.org/fhir/R4/valueset-issue-type.html).
    """

    def __init__(self, message: str, *, place: str = "", code: str = "invalid") -> None:
        super().__init__(message)
        self.place = place
        self.code = code


class UnsupportedError(InputError):
    """The input is well-formed, but of a kind (content type, message type) that is not read."""

    def __init__(self, message: str, *, place: str = "") -> None:
        super().__init__(message, place=place, code="not-supported")


class CorpusError(InputError):
    """Annotated notes (`fhir_coder.corpora`) cannot be read; `place` is the file and the line, record or task."""

    def __init__(self, message: str, *, place: str) -> None:
        super().__init__(f"{place}: {message}", place=place)


class ConformanceError(FhirCoderError):
    """A Bundle breaks a rule of FHIR; the message names the resource, the element and the rule."""


class DeliveryError(FhirCoderError):
    """A FHIR server refused what was sent, for good."""


class TransientDeliveryError(DeliveryError):
    """A FHIR server could not be reached or asked to come back later; sending again may succeed.

    `retry_after` is how many seconds the server asked to wait, where it did.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
