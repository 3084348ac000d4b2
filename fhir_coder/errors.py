"""Every error that the package raises on purpose.

    FhirCoderError
    ├── SettingsError           a setting is wrong; the program does not start
    ├── TableError              a table under mappings/ is malformed
    ├── TerminologyError        the concept store is missing, broken or of another version
    ├── TrainingError           a recogniser cannot be trained on what was given
    ├── BenchmarkError          a benchmark cannot be run: its server cannot be reached or did not start
    ├── CertificateError        development certificates cannot be made or are incomplete
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


class TrainingError(FhirCoderError):
    """A recogniser cannot be trained: the corpora or the base model cannot be used."""


class BenchmarkError(FhirCoderError):
    """A benchmark cannot be run: its server cannot be reached, did not start, or there is nothing to ask it."""


class CertificateError(FhirCoderError):
    """Development certificates cannot be written, or some of those that are there are missing."""


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
