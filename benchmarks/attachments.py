"""Measure the intake of attachments: what becomes of every reference file, and how fast each form is read.

Run: .venv/bin/python benchmarks/attachments.py [folder]. The folder (FHIR_CODER_REFERENCES, else ../shared/data) holds
`ccda` and `fhir`; without it only the speed is measured, on a note that is put into every form. Exit status 1 when a
file gives neither text nor an explained outcome.
"""

from __future__ import annotations

import base64
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from fhir_coder.attachments.extracted import Limits
from fhir_coder.attachments.read import read_attachment
from fhir_coder.ingest.intake import Intake
from fhir_coder.ingest.json_input import intakes_from_json
from fhir_coder.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = Settings(max_note_chars=10_000_000)
TYPES = {".xml": "application/xml", ".md": "text/markdown"}
SECTIONS = 300  # of the note that the speed is measured on: 190 kB of text, 60 pages
TIMES = 5


def main() -> int:
    """Measure and print."""
    folder = Path(
        sys.argv[1] if len(sys.argv) > 1 else os.environ.get("FHIR_CODER_REFERENCES", ROOT / "../shared/data")
    )
    console = Console()
    crashed = 0
    for name in ("ccda", "fhir"):
        if not (folder / name).is_dir():
            console.print(f"{name}: no reference files in {folder}; give the folder")
            continue
        crashed += _print_files(console, name, [path for path in sorted((folder / name).rglob("*")) if path.is_file()])
    console.print(_speed())
    return 1 if crashed else 0


def _print_files(console: Console, name: str, paths: list[Path]) -> int:
    """Print what becomes of the files; return how many crash."""
    kinds: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    characters = 0
    for path in paths:
        try:
            intakes = list(_intakes(path))
        except Exception as error:
            kinds["crash"] += 1
            outcomes[f"crash: {type(error).__name__}"] += 1
            continue
        characters += sum(len(intake.note.text) for intake in intakes if intake.note)
        kinds["text" if any(intake.note for intake in intakes) else "explained outcome"] += 1
        outcomes.update(str(intake.error) for intake in intakes if intake.error)
    console.print(
        f"{name}: {len(paths)} files; {kinds['text']} give text ({characters:,} characters), "
        f"{kinds['explained outcome']} an explained outcome, {kinds['crash']} crash"
    )
    for reason, count in outcomes.most_common():
        console.print(f"  {count:4} {reason}", highlight=False)
    return kinds["crash"]


def _intakes(path: Path) -> Iterator[Intake]:
    """What a FHIR resource holds, or, for any other file, a DocumentReference with the file as its attachment."""
    raw = path.read_bytes()
    if path.suffix != ".json":
        attachment = {
            "contentType": TYPES[path.suffix],
            "data": base64.b64encode(raw).decode("ascii"),
            "size": len(raw),
        }
        raw = orjson.dumps({"resourceType": "DocumentReference", "content": [{"attachment": attachment}]})
    return intakes_from_json(raw, path.name, SETTINGS)


def _speed() -> Table:
    """MB of attachment a second, through the process that reads it and in this one without it."""
    sys.path.insert(0, str(ROOT))
    from fhir_coder.attachments.readers import read_format

    limits = Limits(chars=SETTINGS.max_note_chars, bytes=SETTINGS.max_body_bytes)
    table = Table(title="A note in every form", title_justify="left")
    for column in ("form", "attachment MB", "text kB", "MB/s", "text MB/s", "ms each", "in-process ms", "smallest ms"):
        table.add_column(column, justify="left" if column == "form" else "right")
    for form, stated, make in FORMS:
        large, small = make(SECTIONS), make(1)
        length = len(read_attachment(large, stated, SETTINGS, place="").text)  # also starts the process
        spent = _seconds(lambda raw=large, type_=stated: read_attachment(raw, type_, SETTINGS, place=""))
        smallest = _seconds(lambda raw=small, type_=stated: read_attachment(raw, type_, SETTINGS, place=""))
        alone = "" if form == "plain" else _seconds(lambda raw=large, name=form: read_format(raw, name, None, limits))
        table.add_row(
            stated,
            f"{len(large) / 1e6:.2f}",
            f"{length / 1e3:.0f}",
            f"{len(large) / 1e6 / spent:.1f}",
            f"{length / 1e6 / spent:.2f}",
            f"{spent * 1e3:.1f}",
            f"{alone * 1e3:.1f}" if isinstance(alone, float) else "",
            f"{smallest * 1e3:.2f}",
        )
    return table


def _seconds(work: Callable[[], object]) -> float:
    """The best of some runs: other work on the machine only ever makes it slower."""
    best = float("inf")
    for _ in range(TIMES):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return best


def _sections(count: int) -> Iterator[tuple[str, str]]:
    for number in range(count):
        yield (
            f"Visit {number + 1}",
            "The patient is a 67 year old woman with type 2 diabetes mellitus, hypertension and chronic kidney "
            "disease. She denies chest pain, fever and shortness of breath, and takes lisinopril 20 mg daily. "
            f"Potassium is {3 + number % 30 / 10:.1f} mmol/L, hemoglobin A1c 8.2 %, blood pressure 148/92. "
            "On examination the lungs are clear and there is no edema. The mother had colon cancer. "
            "Continue with the present treatment, and return in three months or when symptoms get worse. "
            "The plan was discussed with the patient, who understands it and agrees.",
        )


def _plain(count: int) -> bytes:
    return "\n\n".join(f"{title}\n{text}" for title, text in _sections(count)).encode()


def _html(count: int) -> bytes:
    parts = (f"<h2>{title}</h2>\n<p class='body'>{text}</p>\n" for title, text in _sections(count))
    return f"<!DOCTYPE html><html><body>{''.join(parts)}</body></html>".encode()


def _rtf(count: int) -> bytes:
    parts = (f"\\b {title}\\b0\\par\n{text}\\par\n" for title, text in _sections(count))
    return ("{\\rtf1\\ansi\\ansicpg1252{\\fonttbl{\\f0 Arial;}}\\f0\\fs20 " + "".join(parts) + "}").encode()


def _cda(count: int) -> bytes:
    parts = (
        '<component><section><code code="10164-2" codeSystem="2.16.840.1.113883.6.1"/>'
        f"<title>{title}</title><text><paragraph>{text}</paragraph></text></section></component>\n"
        for title, text in _sections(count)
    )
    body = f"<component><structuredBody>{''.join(parts)}</structuredBody></component>"
    return f'<ClinicalDocument xmlns="urn:hl7-org:v3">{body}</ClinicalDocument>'.encode()


def _pdf(count: int) -> bytes:
    import textwrap

    from tests.unit.attachments.samples import pdf

    lines = [line for title, text in _sections(count) for line in (title, *textwrap.wrap(text, 100))]
    pages = [lines[start : start + 60] for start in range(0, len(lines), 60)]
    return pdf([["Elm Street Clinic", *page, f"Page {number}"] for number, page in enumerate(pages, start=1)])


FORMS: tuple[tuple[str, str, Callable[[int], bytes]], ...] = (
    ("plain", "text/plain", _plain),
    ("html", "text/html", _html),
    ("rtf", "application/rtf", _rtf),
    ("cda", "application/xml", _cda),
    ("pdf", "application/pdf", _pdf),
)


if __name__ == "__main__":
    sys.exit(main())
