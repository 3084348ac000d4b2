"""One note in every form in which it may arrive: the same is found in each, and a fault in one stops no other."""

from __future__ import annotations

import base64
import html
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.unit.attachments.samples import pdf

Json = dict[str, Any]

PARTS = {
    ("10164-2", "History of Present Illness"): "67 yo woman with T2DM and hypertension. Denies chest pain, no fever.",
    ("10157-6", "Family History"): "Mother had colon cancer.",
    ("10160-0", "Medications"): "Lisinopril 20 mg PO daily. Albuterol 2 puffs q4h prn wheezing.",
    ("30954-2", "Results"): "Potassium 4.9 mmol/L. Hemoglobin A1c 8.2%.",
    ("51847-2", "Assessment and Plan"): "Asthma is stable. Return if shortness of breath.",
}


def _plain() -> bytes:
    return "\n".join(f"{title}:\n{text}" for (_, title), text in PARTS.items()).encode()


def _html() -> bytes:
    parts = (f"<h2>{title}</h2><p>{html.escape(text)}</p>" for (_, title), text in PARTS.items())
    return f"<html><body>{''.join(parts)}</body></html>".encode()


def _rtf() -> bytes:
    parts = (rf"\b {title}:\b0\par {text}\par " for (_, title), text in PARTS.items())
    return ("{\\rtf1\\ansi{\\fonttbl{\\f0 Arial;}}" + "".join(parts) + "}").encode()


def _cda() -> bytes:
    section = (
        '<component><section><code code="{}" codeSystem="2.16.840.1.113883.6.1"/><title>{}</title>'
        "<text><paragraph>{}</paragraph></text></section></component>"
    )
    parts = (section.format(code, f"Our {title}", html.escape(text)) for (code, title), text in PARTS.items())
    body = f"<component><structuredBody>{''.join(parts)}</structuredBody></component>"
    return f'<ClinicalDocument xmlns="urn:hl7-org:v3">{body}</ClinicalDocument>'.encode()


def _pdf() -> bytes:
    lines = [line for (_, title), text in PARTS.items() for line in (f"{title}:", text)]
    lines[1] = lines[1].replace("hypertension", "hyper-\ntension")
    lines = [each for line in lines for each in line.split("\n")]
    header = "Elm Street Clinic"
    return pdf([[header, *lines[:5], "Page 1 of 2"], [header, *lines[5:], "Page 2 of 2"]])


FORMS = {
    "plain": (_plain, "text/plain"),
    "html": (_html, "text/html"),
    "rtf": (_rtf, "application/rtf"),
    "cda": (_cda, "application/hl7-v3+xml"),
    "pdf": (_pdf, "application/pdf"),
}


def _document(name: str, raw: bytes, stated: str) -> Json:
    attachment = {"contentType": stated, "data": base64.b64encode(raw).decode(), "size": len(raw)}
    return {
        "resourceType": "DocumentReference",
        "id": name,
        "status": "current",
        "content": [{"attachment": attachment}],
    }


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Json]:
    """What the command makes of a Bundle of all forms, with three in between that cannot be read."""
    documents = [_document(name, make(), stated) for name, (make, stated) in FORMS.items()]
    documents.insert(1, _document("image", b"GIF89a", "image/gif"))
    documents.insert(3, _document("scan", pdf([[]]), "application/pdf"))
    documents.insert(5, _document("cut", _cda()[:-30], "application/xml"))
    path = tmp_path_factory.mktemp("attachments") / "bundle.json"
    path.write_text(json.dumps({"resourceType": "Bundle", "entry": [{"resource": each} for each in documents]}))
    command = [sys.executable, "-m", "fhir_coder", "code", str(path), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "FHIR_CODER_ENCODER": "none"})
    assert done.returncode == 1
    for index, reason in ((1, "content type"), (3, "only images"), (5, "not well-formed")):
        assert any(f"entry[{index}]" in line and reason in line for line in _paragraphs(done.stderr)), done.stderr
    return {told["note"]["id"]: told for told in map(json.loads, done.stdout.splitlines())}


def _paragraphs(text: str) -> list[str]:
    """The messages on stderr, each on one line however wide the terminal."""
    joined = " ".join(text.split())
    return ["Bundle." + part for part in joined.split("Bundle.")[1:]] + [joined]


def _found(told: Json) -> list[tuple[Any, ...]]:
    return [
        (entity["text"], entity["section"], entity["assertion"], [coding["code"] for coding in entity["codings"]])
        for entity in told["entities"]
    ]


@pytest.mark.parametrize("form", [form for form in FORMS if form != "plain"])
def test_the_same_is_found_in_every_form(coded: dict[str, Json], form: str) -> None:
    assert len(_found(coded["plain"])) >= 10
    assert _found(coded[form]) == _found(coded["plain"])
    text = coded[form]["note"]["text"]
    assert all(text[entity["start"] : entity["end"]] == entity["text"] for entity in coded[form]["entities"])


def test_the_way_back_to_page_and_section(coded: dict[str, Json]) -> None:
    for form, words, place in (
        ("pdf", "colon cancer", "page 1"),
        ("cda", "Lisinopril", "section 10160-0 Our Medications"),
    ):
        note = coded[form]["note"]
        at = note["text"].index(words)
        assert [each["place"] for each in note["origins"] if each["start"] <= at < each["end"]] == [place]
