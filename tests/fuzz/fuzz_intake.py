"""Fuzz what takes HL7 v2 and FHIR in: nothing but input errors may come out, and what is promised of the rest holds.

Run: .venv/bin/python tests/fuzz/fuzz_intake.py WHAT [seconds], WHAT being hl7v2 (messages: split, read, acknowledged,
written as a Bundle), batch (files of messages), mllp (frames out of a stream, however it is cut) or json (FHIR
resources). It needs the extra "fuzz" (atheris). Exit status 0 when the time is up and nothing was found; the input that
broke a reader is left in the file that libFuzzer names.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60
LONGEST = 8_000  # bytes
SLOW = 20  # seconds for one input

MESSAGES = (
    "MSH|^~\\&|APP|HOSP|US|HERE|20250422183015-0500||MDM^T02^MDM_T02|M1|P|2.5.1||||||UNICODE UTF-8\rEVN|T02\r"
    "PID|1||844^^^RIVER&2.16.840.1.113883.3.1&ISO^MR||Doe^Jane||19790208|F\rPV1|1|I|||||||||||||||||V77^^^RIVER\r"
    "TXA|1|PR|TX|20250422|||55^Who^Doc|||D9^NOTE|D1||||AU||AV\r"
    "OBX|1|FT|||Pt has \\H\\HTN\\N\\.\\.br\\No DM.~x||||||F\r",
    "MSH|^~\\&|A|B|C|D|2025||ORU^R01|1|P|2.3\rPID|1||7^^^B\rORC|RE|P1|F1\rOBR|1|P1|F1|1^CT||||||||||||||||||||F\r"
    "NTE|1||Fasting\\X41\\\\T\\\rOBX|1|NM|2823-3^Potassium^LN||5.6|mmol/L||H|||F\r"
    "OBX|2|ED|2^Letter||^TEXT^PLAIN^Base64^SFRO||||||F\rOBX|3|CWE|3^Culture||1^Growth^L~2^None^L\rADD|more\r",
    "MSH#*~!%#A#B###2025##ADT*A01#1#P#2.8\rPID#1##7***B##Doe*Jane\rDG1#1##I10*Hypertension*I10C###A\rZ01#own\r",
)
DOCUMENT = {
    "resourceType": "DocumentReference",
    "id": "d1",
    "status": "current",
    "docStatus": "final",
    "type": {"coding": [{"system": "http://loinc.org", "code": "11506-3"}]},
    "subject": {"reference": "Patient/7"},
    "date": "2025-04-22T18:30:15Z",
    "content": [
        {
            "attachment": {
                "contentType": "text/plain; charset=utf-8",
                "data": "SFRO",
                "size": 3,
            }
        }
    ],
    "context": {"encounter": [{"reference": "Encounter/3"}]},
}


def main() -> None:
    """Fuzz one way in, beginning with messages and resources as they should be."""
    import atheris

    with atheris.instrument_imports(include=["fhir_coder.ingest", "fhir_coder.service.mllp"]):
        from fhir_coder.ingest import hl7v2_intake, json_input  # noqa: F401 - imported here to be instrumented
        from fhir_coder.service import mllp  # noqa: F401
    what, seconds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else SECONDS
    target, samples = {
        "hl7v2": (_message(), [each.encode() for each in MESSAGES]),
        "batch": (_batch(), ["".join(("FHS|^~\\&\rBHS|^~\\&\r", *MESSAGES, "BTS|3\rFTS|1\r")).encode()]),
        "mllp": (_frames(), [b"\x07" + b"".join(b"\x0b" + each.encode() + b"\x1c\r" for each in MESSAGES)]),
        "json": (_json(), [json.dumps(DOCUMENT).encode(), json.dumps(_bundle()).encode()]),
    }[what]
    with tempfile.TemporaryDirectory() as corpus:
        for number, sample in enumerate(samples):
            (Path(corpus) / f"sample{number}").write_bytes(sample)
        options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-timeout={SLOW}", "-rss_limit_mb=2048"]
        atheris.Setup([sys.argv[0], *options, corpus], target)
        atheris.Fuzz()


def _message() -> Callable[[bytes], None]:
    from fhir_coder.errors import InputError
    from fhir_coder.ingest.acknowledgement import acknowledge
    from fhir_coder.ingest.hl7v2_intake import read_raw
    from fhir_coder.ingest.hl7v2_unmapped import counted_place, unmapped_fields

    settings = _settings()

    def require_answer(raw: bytes, error: InputError | None) -> None:
        answer = acknowledge(raw, error)
        assert answer is None or b"\rMSA|" in answer  # None: its header asks for none

    def read(raw: bytes) -> None:
        try:
            message, content = read_raw(raw, settings)
        except InputError as error:
            require_answer(raw, error)
            return
        require_answer(raw, None)
        assert all(map(counted_place, unmapped_fields(message)))
        for note in content.notes:
            _require_sound(note)
        if content.records:
            _require_writable({"resourceType": "Bundle", "type": "transaction", "entry": list(content.records)})

    return read


def _batch() -> Callable[[bytes], None]:
    from fhir_coder.ingest.hl7v2_intake import intakes_from_hl7v2

    settings = _settings()

    def read(raw: bytes) -> None:
        intakes = list(intakes_from_hl7v2(raw, "fuzz", settings))
        assert intakes
        for intake in intakes:
            assert intake.error or intake.note or intake.records or intake.remark
            if intake.note:
                _require_sound(intake.note)

    return read


def _frames() -> Callable[[bytes], None]:
    from fhir_coder.service.mllp import FrameReader

    def read(raw: bytes) -> None:
        step, stream = (raw[0] or 1, raw[1:]) if raw else (1, b"")
        limit = 1_000
        whole, cut = FrameReader(limit), FrameReader(limit)
        at_once = whole.feed(stream)
        in_pieces = []
        for start in range(0, len(stream), step):
            in_pieces += cut.feed(stream[start : start + step])
            assert cut.held <= max(limit, 4096) + 2
            assert cut.received >= 0
        # However the stream is cut, the same messages come out of it; of one that is too long, its beginning.
        assert [(each.too_long, each.content[:20]) for each in at_once] == [
            (each.too_long, each.content[:20]) for each in in_pieces
        ]
        assert [each for each in at_once if not each.too_long] == [each for each in in_pieces if not each.too_long]

    return read


def _json() -> Callable[[bytes], None]:
    from fhir_coder.ingest.json_input import intakes_from_json

    settings = _settings()

    def read(raw: bytes) -> None:
        for intake in intakes_from_json(raw, "fuzz", settings):
            assert (intake.note is None) != (intake.error is None)
            if intake.note:
                _require_sound(intake.note)

    return read


def _settings() -> Any:
    from fhir_coder.settings import Settings

    return Settings(max_note_chars=100_000, max_body_bytes=1_000_000, attachment_readers=1)


def _bundle() -> dict[str, Any]:
    binary = {"resourceType": "Binary", "id": "b1", "contentType": "text/plain", "data": "SFRO"}
    pointing = {**DOCUMENT, "content": [{"attachment": {"contentType": "text/plain", "url": "Binary/b1"}}]}
    return {"resourceType": "Bundle", "entry": [{"resource": each} for each in (DOCUMENT, pointing, binary)]}


def _require_sound(note: Any) -> None:
    """Assert that the origins are places of the text, in order, and that the note can be written."""
    from fhir_coder.fhir.bundle import to_bundle
    from fhir_coder.model import CodedNote

    end = 0
    for origin in note.origins:
        assert end <= origin.start <= origin.end <= len(note.text)
        end = origin.end
    if note.context:
        _require_writable(to_bundle(CodedNote(note=note)))


def _require_writable(bundle: dict[str, Any]) -> None:
    from fhir_coder.fhir.checks import check

    check(bundle)


if __name__ == "__main__":
    main()
