"""Every form gives the text that a person would read in it, with the way back to its place."""

from __future__ import annotations

import base64
import gzip

import pytest

from fhir_coder.attachments.extracted import Extracted
from fhir_coder.attachments.read import read_attachment
from fhir_coder.errors import UnsupportedError
from fhir_coder.nlp.sections import find_sections
from fhir_coder.settings import Settings
from tests.unit.attachments.samples import CDA, HTML, RTF, cda_with_body, pdf

SETTINGS = Settings()


def read(raw: bytes | str, stated: str) -> Extracted:
    return read_attachment(raw.encode() if isinstance(raw, str) else raw, stated, SETTINGS, place="x")


def places(found: Extracted) -> list[tuple[str, str]]:
    """The origins, with the text that each stands for."""
    return [(origin.place, found.text[origin.start : origin.end]) for origin in found.origins]


def test_html() -> None:
    assert read(HTML, "text/html").text == (
        "Assessment\n\nPatient has hypertension and asthma.\nNo fever.\n\n"
        "- lisinopril 10 mg\n- albuterol\nTest | Result\nPotassium  4.0  mmol/L\n\nBP\n  120/80"
    )


@pytest.mark.parametrize("tag", ["s", "del", "title", "template"])
def test_what_html_strikes_out_is_left_out_but_not_all_that_follows(tag: str) -> None:
    assert read(f"<p>Has <{tag}>diabetes</{tag}>asthma.", "text/html").text == "Has asthma."
    assert read(f"<p>Has <{tag}>diabetes and asthma.<p>No fever.", "text/html").text.endswith("No fever.")


@pytest.mark.parametrize(
    ("raw", "stated"),
    [
        ("<p>Größe".encode("latin-1"), "text/html; charset=iso-8859-1"),
        ('<meta charset="windows-1252"><p>Größe'.encode("cp1252"), "text/html"),
        ("<p>Größe".encode("utf-16"), "text/html"),
        ("\ufeff<p>Größe".encode(), "text/html"),
        ("Größe".encode("utf-16"), "text/plain"),
        ('<html xmlns="http://www.w3.org/1999/xhtml"><p>Größe</p></html>'.encode(), "application/xhtml+xml"),
        ('<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><p>Größe</p></html>'.encode(), "text/html"),
    ],
)
def test_charsets(raw: bytes, stated: str) -> None:
    assert read(raw, stated).text == "Größe"


def test_rtf() -> None:
    assert read(RTF, "text/rtf").text == (
        "ASSESSMENT:\nGröße unverändert. Pt has hypertension.\nHidden: β blocker stopped.\n"
        "Potassium  4.0  mmol/L\nIbuprofen  600 mg | Active\n😀 end"
    )


def test_sections_of_cda_keep_their_codes_and_are_headed_by_known_titles() -> None:
    found = read(CDA, "application/hl7-v3+xml")
    allergies = "Allergies (Adverse events to drugs):\nSubstance | Reaction\nPenicillin | Hives"
    illness = (
        "History of Present Illness\nHas asthma,\nno fever.\n\nTakes albuterol.\n\nSeen by\n- pulmonology\n- allergy"
    )
    assert places(found) == [
        ("section 48765-2 Adverse events to drugs", allergies),
        ("section 10164-2 History of Present Illness", illness),
        ("section 10164-2 History of Present Illness / section Onset", "Onset\nTwo weeks ago."),
    ]
    assert found.text == f"{allergies}\n\n{illness}\n\nOnset\nTwo weeks ago."
    categories = [section.category for section in find_sections(found.text)]
    assert categories[:2] == ["allergies", "history_of_present_illness"]


def test_a_part_of_a_cda_document_without_its_namespaces_is_read() -> None:
    raw = '<!-- c --><section><title>Plan</title><text>Rest</text><value xsi:type="CD"/></section>'
    assert read(raw, "text/xml").text == "Plan\nRest"


@pytest.mark.parametrize(
    ("media_type", "raw", "text", "place"),
    [
        ("text/plain", b"Pt has HTN.", "Pt has HTN.", "nonXMLBody"),
        ("text/rtf", rb"{\rtf1 Pt has HTN.}", "Pt has HTN.", "nonXMLBody"),
        ("text/html", b"<p>Pt has <b>HTN</b>.", "Pt has HTN.", "nonXMLBody"),
        ("application/pdf", pdf([["Pt has HTN."]]), "Pt has HTN.", "nonXMLBody, page 1"),
        ("text/plain", gzip.compress(b"Pt has HTN."), "Pt has HTN.", "nonXMLBody"),
    ],
)
def test_bodies_of_cda_that_are_no_xml(media_type: str, raw: bytes, text: str, place: str) -> None:
    found = read(cda_with_body(media_type, base64.b64encode(raw).decode()), "text/xml")
    assert places(found) == [(place, text)]
    assert read(cda_with_body("text/plain", "Pt has HTN.", "TXT"), "text/xml").text == "Pt has HTN."


def test_pages_of_a_pdf_are_one_running_text() -> None:
    """Headers, footers, hyphens and page breaks do not break sentences; each page is an origin."""
    header = "Elm Street Clinic   MRN 12345"
    pages = [
        [
            header,
            "Assessment:",
            "The patient is a 62 year old woman with long standing hyper-",
            "tension and asthma, who was seen for follow-",
            "up of her cough. She denies fever and chills, and she does not",
            "have any pain or pressure or any other discomfort in her chest",
            "Page 1 of 3",
        ],
        [
            header,
            "or abdomen. She was given aspirin and has had no bleeding since then, in",
            "15 years. Her x-",
            "ray was normal, and there is no evidence of pneu-",
            "Page 2 of 3",
        ],
        [header, "monia. Follow up in two weeks.", "", "", "Plan:", "1. albuterol", "2. rest", "Page 3 of 3"],
    ]
    found = read(pdf(pages), "application/pdf")
    assert [place for place, _ in places(found)] == ["page 1", "page 2", "page 3"]
    assert found.text == (
        "Elm Street Clinic MRN 12345\nAssessment:\n"
        "The patient is a 62 year old woman with long standing hypertension and asthma, who was seen for follow-up of "
        "her cough. She denies fever and chills, and she does not have any pain or pressure or any other discomfort in "
        "her chest or abdomen. She was given aspirin and has had no bleeding since then, in 15 years. Her x-ray was "
        "normal, and there is no evidence of pneumonia. Follow up in two weeks.\nPlan:\n1. albuterol\n2. rest"
    )
    assert places(found)[2] == ("page 3", "Follow up in two weeks.\nPlan:\n1. albuterol\n2. rest")


@pytest.mark.parametrize(
    ("raw", "stated", "reason"),
    [
        (pdf([[], []]), "application/pdf", "only images"),
        (pdf([["HTN"]], "x"), "application/pdf", "encrypted"),
        (b"GIF89a", "image/gif", "not read"),
        (b"whatever", "application/octet-stream", "not read"),
        (b"<note>HTN</note>", "text/xml", "no CDA"),
        (b"<ClinicalDocument/>", "text/xml", "no narrative"),
        (cda_with_body("image/png", "AAAA"), "text/xml", "type that is not read"),
        (
            b'<ClinicalDocument><nonXMLBody><text><reference value="a.pdf"/></text></nonXMLBody></ClinicalDocument>',
            "application/xml",
            "another file",
        ),
    ],
)
def test_what_has_no_text_to_be_read_is_said(raw: bytes, stated: str, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason) as caught:
        read(raw, stated)
    assert caught.value.place == "x"


@pytest.mark.parametrize("raw", [RTF, HTML.encode(), CDA.encode(), pdf([["Pt has HTN."]])])
def test_what_is_evidently_something_else_is_read_as_what_it_is(raw: bytes) -> None:
    """Systems send RTF, and more, as text/plain."""
    assert read(raw, "text/plain") == read(raw, "application/octet-stream")
    assert not read(gzip.compress(raw), "application/gzip").text.startswith(("<", "{", "%"))


FLOWSHEET = (
    "<section><title>Vital Signs</title><text><table><thead><tr><th>Date and Time</th><th>Blood Pressure:</th>"
    "<th>Pulse</th><th/></tr></thead><tbody>"
    "<tr><td>05/20/2014 7:36pm</td><td>120/80 mm[Hg]</td><td>80 /min</td><td>left arm</td></tr>"
    "<tr><td>Nov 14, 1999</td><td/><td>84 /min</td><td/></tr>"
    "<tr><td>not done</td><td>-</td><td>-</td><td/></tr></tbody></table></text></section>"
)


def test_values_below_a_date_are_read_with_the_titles_of_their_columns() -> None:
    assert read(FLOWSHEET.encode(), "text/xml").text.splitlines() == [
        "Vital Signs",
        "Date and Time | Blood Pressure: | Pulse",
        "05/20/2014 7:36pm | Blood Pressure: 120/80 mm[Hg] | Pulse: 80 /min | left arm",
        "Nov 14, 1999 | Pulse: 84 /min",
        "not done | - | -",
    ]


@pytest.mark.parametrize(("before", "after"), [("05/20/2014 7:36pm", "Height"), ("Date and Time", "Panel")])
def test_a_row_that_says_itself_what_it_is_about_has_no_titles(before: str, after: str) -> None:
    row = read(FLOWSHEET.replace(before, after).encode(), "text/xml").text.splitlines()[2]
    assert "Pulse" not in row
    assert "120/80" in row
