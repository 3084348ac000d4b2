"""Documents behind a pointer (RP): fetched from where attachments may be fetched from, and from nowhere else."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from fhir_coder.errors import InputError, UnsupportedError
from fhir_coder.ingest.hl7v2 import Message, parse
from fhir_coder.ingest.hl7v2_content import Content, patients_of_message, read_message
from fhir_coder.model import Origin
from fhir_coder.settings import Settings

HEAD = r"MSH|^~\&|APP|HOSP|US|HERE|20250422||ORU^R01|M1|P|2.5.1" + "\rPID|1||844^^^RIVER\rOBR|1||F1|1^CT\r"


def message(where: str, rest: str = "^^TEXT^HTML") -> Message:
    return parse(f"{HEAD}OBX|1|RP|1^CT||{where}{rest}".encode())


def read(where: str, settings: Settings, *, rest: str = "^^TEXT^HTML") -> Content:
    return read_message(message(where, rest), settings)


@pytest.fixture
def own(httpserver: HTTPServer) -> Settings:
    return Settings.load(server=httpserver.url_for("/fhir"))


def test_what_it_points_at_is_read(httpserver: HTTPServer, own: Settings) -> None:
    httpserver.expect_request("/fhir/Binary/7").respond_with_data("<p>No <b>bleeding</b>.", content_type="text/html")
    where = httpserver.url_for("/fhir/Binary/7")
    (note,) = read(where, own).notes
    assert note.text == "CT\nNo bleeding."
    assert [each.place for each in note.origins] == ["OBR[1]-4", "OBX[1]-5"]
    (document,) = (each["resource"] for each in note.context if each["resource"]["resourceType"] == "DocumentReference")
    assert document["content"][1]["attachment"] == {"contentType": "text/html", "url": where}


@pytest.mark.parametrize("mark", ["&", "\\T\\"], ids=["as it is", "escaped"])
def test_the_whole_address_is_asked_for(httpserver: HTTPServer, own: Settings, mark: str) -> None:
    httpserver.expect_request("/fhir/doc", query_string="id=1&page=2").respond_with_data("HTN")
    (note,) = read(f"{httpserver.url_for('/fhir/doc')}?id=1{mark}page=2", own, rest="^^TEXT^PLAIN").notes
    assert note.text == "CT\nHTN"


def test_the_server_says_what_it_is_where_the_message_does_not(httpserver: HTTPServer, own: Settings) -> None:
    httpserver.expect_request("/fhir/a").respond_with_data("<p>HTN", content_type="text/html")
    (note,) = read(httpserver.url_for("/fhir/a"), own, rest="").notes
    assert note.text == "CT\nHTN"


def test_each_repetition_is_followed(httpserver: HTTPServer, own: Settings) -> None:
    for name in ("a", "b"):
        httpserver.expect_request(f"/fhir/{name}").respond_with_data(name * 3)
    where = "~".join(f"{httpserver.url_for(f'/fhir/{name}')}^^TEXT^PLAIN" for name in "ab")
    (note,) = read(where, own, rest="").notes
    assert note.text == "CT\naaa\nbbb"


def test_nothing_is_asked_for_before_the_message_is_acknowledged(httpserver: HTTPServer, own: Settings) -> None:
    assert patients_of_message(message(httpserver.url_for("/fhir/a")), own)
    assert not httpserver.log


@pytest.mark.parametrize("look", [read_message, patients_of_message])
@pytest.mark.parametrize(
    "where",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:1/fhir/Binary/7",
        "http://{host}.evil.example:{port}/fhir/Binary/7",
        "http://{host}:{port}@evil.example/fhir/Binary/7",
        "http://[::1",
        "file:///etc/passwd",
        r"\E\\E\pacs\E\1",
        "1234",
        "",
    ],
)
def test_no_other_place_is_asked(
    httpserver: HTTPServer,
    own: Settings,
    where: str,
    look: Callable[[Message, Settings], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unasked(*_: Any, **__: Any) -> None:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", unasked)
    with pytest.raises(UnsupportedError) as caught:
        look(message(where.format(host=httpserver.host, port=httpserver.port)), own)
    assert caught.value.place == "OBX-5.1"
    assert not httpserver.log


def test_an_image_is_not_fetched(httpserver: HTTPServer, own: Settings) -> None:
    with pytest.raises(UnsupportedError) as caught:
        read(httpserver.url_for("/fhir/a"), own, rest="^^IM^JPEG")
    assert caught.value.place == "OBX-5.4"
    assert not httpserver.log


@pytest.mark.parametrize(("status", "code"), [(404, "not-found"), (403, "forbidden"), (503, "transient")])
def test_a_document_that_cannot_be_had_says_why(httpserver: HTTPServer, own: Settings, status: int, code: str) -> None:
    httpserver.expect_request("/fhir/a").respond_with_data("secret", status=status)
    with pytest.raises(InputError) as caught:
        read(httpserver.url_for("/fhir/a"), own)
    assert caught.value.code == code
    assert "secret" not in str(caught.value)


def test_the_places_of_a_note_are_those_of_its_values() -> None:
    raw = HEAD.replace("OBR", "NTE|1||Fasting~since 8\rOBR") + "\r".join(
        ("OBX|1|TX|2^Findings||No bleeding.~", "OBX|2|TX|2^Findings||No mass.", "OBX|1|NM|3^Potassium||4.9|mmol/L")
    )
    (note,) = read_message(parse(raw.encode()), Settings()).notes
    assert [(each.place, note.text[each.start : each.end]) for each in note.origins] == [
        ("OBR[1]-4", "CT"),
        ("NTE[1]-3", "Fasting\nsince 8"),
        ("OBX[1]-3", "Findings:"),
        ("OBX[1]-5", "No bleeding.\n"),
        ("OBX[2]-5", "No mass."),
        ("OBX[3]-5", "Potassium: 4.9 mmol/L"),
    ]
    assert note.origins[-1] == Origin(start=note.text.index("Potassium"), end=len(note.text), place="OBX[3]-5")
