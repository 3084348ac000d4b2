"""DocumentReference intake: what is read, and that every fault is named with its place and its remedy."""

import base64
import hashlib
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.fhir.identity import document_identity
from fhir_coder.ingest.documentreference import note_from_document_reference
from fhir_coder.settings import Settings

SETTINGS = Settings()
ATTACHMENT = "DocumentReference.content[0].attachment"


def encoded(text: str | bytes) -> str:
    raw = text.encode() if isinstance(text, str) else text
    return base64.b64encode(raw).decode()


def document(data: str | None = None, content_type: str | None = "text/plain", **attachment: Any) -> dict[str, Any]:
    fields = {"contentType": content_type, "data": encoded("Pt has HTN.") if data is None else data, **attachment}
    given = {name: value for name, value in fields.items() if value is not None}
    return {"resourceType": "DocumentReference", "status": "current", "content": [{"attachment": given}]}


def test_everything_the_note_needs_is_read() -> None:
    raw = "Füße: Ödem".encode()
    resource = document(
        encoded(raw), size=len(raw), hash=base64.b64encode(hashlib.sha1(raw, usedforsecurity=False).digest()).decode()
    ) | {
        "id": "d1",
        "docStatus": "final",
        "type": {"coding": [{"system": "urn:x", "code": "1"}, {"system": "http://loinc.org", "code": "11506-3"}]},
        "subject": {"reference": "Patient/7"},
        "date": "2025-03-14T10:42:00.123456789-05:00",
        "context": {"encounter": [{"reference": "EpisodeOfCare/1"}, {"reference": "Encounter/9"}]},
    }
    note = note_from_document_reference(resource, SETTINGS)
    assert (note.text, note.id, note.document) == ("Füße: Ödem", "d1", "DocumentReference/d1")
    assert (note.subject, note.encounter, note.type_code, note.doc_status) == (
        "Patient/7",
        "Encounter/9",
        "11506-3",
        "final",
    )
    assert note.date == datetime(2025, 3, 14, 10, 42, 0, 123456, timezone(timedelta(hours=-5)))


@pytest.mark.parametrize(
    ("charset", "codec"), [("ISO-8859-1", "latin-1"), ("windows-1252", "cp1252"), ('"utf-16"', "utf-16")]
)
def test_the_stated_charset_is_used(charset: str, codec: str) -> None:
    resource = document(encoded("Größe".encode(codec)), f"Text/Plain ; charset={charset}")
    assert note_from_document_reference(resource, SETTINGS).text == "Größe"


def test_a_byte_order_mark_is_not_text() -> None:
    assert note_from_document_reference(document(encoded("\ufeffHTN")), SETTINGS).text == "HTN"


def test_without_an_id_the_master_identifier_names_the_note() -> None:
    resource = document() | {"masterIdentifier": {"system": "urn:x", "value": "77"}}
    note = note_from_document_reference(resource, SETTINGS)
    assert (note.id, note.document) == ("urn:x|77", None)


@pytest.mark.parametrize("reference", ["#p1", "urn:uuid:5f0c7a3e-2f7b-4c1e-9a57-6d0b1c8f2e41"])
def test_a_reference_that_others_cannot_follow_is_no_subject(reference: str) -> None:
    note = note_from_document_reference(document() | {"subject": {"reference": reference}}, SETTINGS)
    assert note.subject is None


def test_the_text_is_found_among_other_formats() -> None:
    resource = document()
    resource["content"].insert(0, {"attachment": {"contentType": "application/pdf", "url": "Binary/1"}})
    assert note_from_document_reference(resource, SETTINGS).text == "Pt has HTN."


WRONG: list[tuple[dict[str, Any], str, str, type[InputError]]] = [
    ({"resourceType": "Patient"}, "DocumentReference.resourceType", "send a DocumentReference", InputError),
    ({"resourceType": "DocumentReference"}, "DocumentReference.content", "contentType text/plain", InputError),
    (document() | {"content": {}}, "DocumentReference.content", "not a list", InputError),
    (document() | {"content": [3]}, "DocumentReference.content[0]", "not a JSON object", InputError),
    (document() | {"content": [{}]}, ATTACHMENT, "missing", InputError),
    (document(content_type=None), f"{ATTACHMENT}.contentType", "give text/plain", InputError),
    (document(content_type="image/png"), f"{ATTACHMENT}.contentType", "send the note as text/plain", UnsupportedError),
    (document(content_type=""), f"{ATTACHMENT}.contentType", "send the note as text/plain", UnsupportedError),
    (document(content_type="text/plain; charset=rot13"), f"{ATTACHMENT}.contentType", "UTF-8", UnsupportedError),
    (document(data="%%%"), f"{ATTACHMENT}.data", "encode", InputError),
    (document(data="UHQ"), f"{ATTACHMENT}.data", "encode", InputError),
    (document(data="ÄÖÜ="), f"{ATTACHMENT}.data", "encode", InputError),
    (document(data=""), f"{ATTACHMENT}.data", "send a note with text", InputError),
    (document(data=encoded(" \n\x00\t ")), f"{ATTACHMENT}.data", "send a note with text", InputError),
    (document(data=encoded("Füße".encode("latin-1"))), f"{ATTACHMENT}.data", "state the charset", InputError),
    (document(size=5), f"{ATTACHMENT}.size", "cut off", InputError),
    (document(hash="AAAA"), f"{ATTACHMENT}.hash", "damaged", InputError),
    (document() | {"status": "entered-in-error"}, "DocumentReference.status", "send its correction", UnsupportedError),
    (document() | {"docStatus": "entered-in-error"}, "DocumentReference.docStatus", "correction", UnsupportedError),
    (document() | {"id": "a b"}, "DocumentReference.id", "FHIR id", InputError),
    (document() | {"date": "2025-02-30T00:00:00Z"}, "DocumentReference.date", "instant", InputError),
    (document() | {"date": "2025-02-03"}, "DocumentReference.date", "zone", InputError),
    (document() | {"subject": "Patient/1"}, "DocumentReference.subject", "object", InputError),
    (
        document() | {"subject": {"reference": "Group/1"}},
        "DocumentReference.subject.reference",
        "Patient/<id>",
        UnsupportedError,
    ),
]


@pytest.mark.parametrize(("resource", "place", "remedy", "kind"), WRONG)
def test_a_fault_is_named(resource: dict[str, Any], place: str, remedy: str, kind: type[InputError]) -> None:
    with pytest.raises(InputError) as caught:
        note_from_document_reference(resource, SETTINGS)
    assert type(caught.value) is kind
    assert caught.value.place == place
    assert remedy in str(caught.value)


def test_a_relative_url_without_a_server_is_refused() -> None:
    resource = document(url="Binary/1")
    del resource["content"][0]["attachment"]["data"]
    with pytest.raises(UnsupportedError, match="no FHIR server is configured") as caught:
        note_from_document_reference(resource, SETTINGS)
    assert caught.value.place == f"{ATTACHMENT}.url"


def test_a_note_of_10_mb_is_refused_with_the_setting_that_allows_it() -> None:
    resource = document(encoded("HTN. " * 2_000_000))
    with pytest.raises(InputError, match="max_note_chars") as caught:
        note_from_document_reference(resource, SETTINGS)
    assert caught.value.code == "too-long"
    assert len(note_from_document_reference(resource, Settings(max_note_chars=10_000_000)).text) == 10_000_000


@given(st.text())
def test_offsets_hold_whatever_the_text(text: str) -> None:
    try:
        note = note_from_document_reference(document(encoded(text)), SETTINGS)
    except InputError:
        assert not text.translate(dict.fromkeys(range(32), " ")).removeprefix("\ufeff").strip()
        return
    original = text.removeprefix("\ufeff")
    assert len(note.text) == len(original)
    assert all(a == b or (ord(b) < 32 and a == " ") for a, b in zip(note.text, original, strict=True))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
PARTS = ("id", "status", "docStatus", "type", "subject", "date", "context", "content", "masterIdentifier")


@given(st.dictionaries(st.sampled_from(PARTS), JSON), st.dictionaries(st.sampled_from(("data", "size", "hash")), JSON))
def test_nothing_but_input_errors_whatever_the_shape(parts: dict[str, Any], attachment: dict[str, Any]) -> None:
    resource = document()
    resource["content"][0]["attachment"] |= attachment
    place = "DocumentReference"
    try:
        note_from_document_reference(resource | parts, SETTINGS)
    except InputError as error:
        place = error.place
    assert place.startswith("DocumentReference")


DELIVERING = Settings(server="http://fhir.example.org/fhir")  # type: ignore[arg-type]
MASTER = {"system": "urn:oid:1.2.3", "value": "D1"}


@pytest.mark.parametrize("element", ["status", "docStatus"])
def test_a_document_entered_in_error_takes_back_what_it_gave(element: str) -> None:
    given = {"resourceType": "DocumentReference", "id": "12", "subject": {"reference": "Patient/7"}}
    note = note_from_document_reference(given | {element: "entered-in-error"}, DELIVERING)
    assert (note.text, note.withdrawn, note.document) == ("", True, "DocumentReference/12")


def test_a_superseded_document_is_read_and_takes_back_what_it_gave() -> None:
    note = note_from_document_reference(document() | {"status": "superseded"}, SETTINGS)
    assert (note.text, note.withdrawn) == ("Pt has HTN.", True)


@pytest.mark.parametrize(
    ("target", "reference"),
    [
        ({"reference": "DocumentReference/11"}, "DocumentReference/11"),
        ({"reference": "DocumentReference/11/_history/2"}, "DocumentReference/11"),
        ({"reference": "http://fhir.example.org/fhir/DocumentReference/11"}, "DocumentReference/11"),
        ({"reference": "http://other.example.org/fhir/DocumentReference/11"}, None),
        ({"reference": "#d1"}, None),
        ({"identifier": {"value": "D1"}}, None),
    ],
)
def test_the_document_that_is_replaced(target: dict[str, Any], reference: str | None) -> None:
    given = document() | {"relatesTo": [{"code": "replaces", "target": target}]}
    note = note_from_document_reference(given, DELIVERING)
    assert note.replaces == ((reference,) if reference else ())


def test_the_replaced_document_is_known_by_its_identifier_too() -> None:
    earlier = note_from_document_reference(document() | {"id": "11", "masterIdentifier": MASTER}, DELIVERING)
    related = [{"code": "replaces", "target": {"identifier": MASTER}}]
    later = note_from_document_reference(document() | {"id": "12", "relatesTo": related}, DELIVERING)
    assert later.replaces == earlier.names


def test_versions_of_a_document_without_an_id_have_its_master_identifier() -> None:
    def identity(text: str, **more: Any) -> str:
        return document_identity(note_from_document_reference(document(encoded(text)) | more, DELIVERING))

    assert identity("One", masterIdentifier=MASTER) == identity("Two", masterIdentifier=MASTER)
    # Other identifiers may be those of several documents.
    assert identity("One", identifier=[MASTER]) != identity("Two", identifier=[MASTER])


def test_an_addendum_stands_for_itself_and_another_form_for_the_same() -> None:
    related = [
        {"code": code, "target": {"reference": f"DocumentReference/{code}"}}
        for code in ("appends", "transforms", "signs")
    ]
    note = note_from_document_reference(document() | {"relatesTo": related}, DELIVERING)
    assert (note.replaces, note.repeats) == ((), ("DocumentReference/transforms", "DocumentReference/signs"))


@pytest.mark.parametrize("wrong", [{"relatesTo": {}}, {"relatesTo": ["x"]}, {"relatesTo": [{"target": 1}]}])
def test_a_wrong_relation_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        note_from_document_reference(document() | wrong, DELIVERING)
    assert caught.value.place.startswith("DocumentReference.relatesTo")
