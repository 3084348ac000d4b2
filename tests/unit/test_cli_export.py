"""`fhir-coder bulk` against a server that exports as the Bulk Data specification says, over real connections."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from fhir_coder.model import CodedNote, Entity, EntityType, Note
from fhir_coder.pipeline import Coder
from fhir_coder.settings import Settings
from tests.unit.command import run_command

Run = Callable[..., tuple[int, str]]
TIME = "2026-03-01T10:00:00.000Z"


def documents(*texts: str) -> list[dict[str, Any]]:
    """Return DocumentReferences."""
    return [
        {
            "resourceType": "DocumentReference",
            "id": f"d-{text}",
            "status": "current",
            "subject": {"reference": "Patient/7"},
            "content": [
                {"attachment": {"contentType": "text/plain", "data": base64.b64encode(text.encode()).decode()}}
            ],
        }
        for text in texts
    ]


class ExportServer:
    """A FHIR server with $export. `answers` are given once each, before what it would say."""

    def __init__(self) -> None:
        self.files: dict[str, list[dict[str, Any]]] = {"1": documents("a", "b"), "2": documents("c")}
        self.manifest: dict[str, Any] = {"transactionTime": TIME, "requiresAccessToken": False}
        self.parts: dict[str, list[tuple[str, str]]] = {
            "output": [("DocumentReference", "1"), ("DocumentReference", "2")]
        }
        self.counts: dict[str, int] = {}
        self.running = ["", "50%", "nearly done"]  # X-Progress, one for each look
        self.answers: list[tuple[str, int, dict[str, str]]] = []  # end of the path, status, headers
        self.asked: list[str] = []  # "GET $export"
        self.kicked: list[tuple[dict[str, list[str]], dict[str, str]]] = []  # parameters and headers
        self.jobs = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.answer(self)

            def do_DELETE(self) -> None:
                server.answer(self)

            def log_message(self, *_: object) -> None:
                """Be quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.root = f"http://127.0.0.1:{self._http.server_port}"
        self.url = f"{self.root}/fhir"
        self.file_base = f"{self.url}/files"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer a request."""
        place = urlsplit(handler.path)
        path = place.path.removeprefix("/fhir/")
        self.asked.append(f"{handler.command} {path}")
        for given in self.answers:
            if path.endswith(given[0]):
                self.answers.remove(given)
                return reply(handler, given[1], given[2])
        if path.endswith("$export"):
            self.kicked.append((parse_qs(place.query), dict(handler.headers)))
            self.jobs += 1
            return reply(handler, 202, {"Content-Location": f"{self.url}/jobs/{self.jobs}"})
        if path.startswith("jobs/"):
            return self._job(handler)
        lines = self.files[path.removeprefix("files/")]
        body = "".join(json.dumps(each) + "\n" for each in lines).encode()
        return reply(handler, 200, {"Content-Type": "application/fhir+ndjson"}, body)

    def _job(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.command == "DELETE":
            return reply(handler, 202)
        if self.running:
            return reply(handler, 202, {"X-Progress": self.running.pop(0), "Retry-After": "0"})
        files = {
            part: [
                {"type": kind, "url": f"{self.file_base}/{name}"}
                | ({"count": self.counts[name]} if name in self.counts else {})
                for kind, name in listed
            ]
            for part, listed in self.parts.items()
        }
        return reply(handler, 200, {"Content-Type": "application/json"}, json.dumps(self.manifest | files).encode())

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


def reply(
    handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str] | None = None, body: bytes = b""
) -> None:
    """Send an answer."""
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def server() -> Iterator[ExportServer]:
    made = ExportServer()
    yield made
    made.close()


@pytest.fixture
def other() -> Iterator[ExportServer]:
    """Another server, which holds the files."""
    made = ExportServer()
    yield made
    made.close()


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of the notes that were coded, by a coder that does no more than read."""
    read: list[str] = []

    class Reading:
        def many(self, notes: list[Note], **_: int) -> list[CodedNote]:
            read.extend(note.text for note in notes)
            return [CodedNote(note=note) for note in notes]

    def loaded(settings: Settings) -> Any:
        return Reading()

    monkeypatch.setattr(Coder, "from_settings", loaded)
    return read


@pytest.fixture
def bulk(
    server: ExportServer, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: Any
) -> Run:
    """Run the command: bulk(option, ...) -> status and what it told."""
    monkeypatch.setenv("FHIR_CODER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr("fhir_coder.upstream.export._SHORTEST_WAIT", 0.0)

    def call(*options: object) -> tuple[int, str]:
        arguments = ("bulk", "--server", server.url, "--out", tmp_path / "out", *options)
        status, _, err = run_command(monkeypatch, capfdbinary, *arguments)
        return status, err.decode()

    return call


def test_from_the_request_to_the_coded_notes(bulk: Run, server: ExportServer, texts: list[str], tmp_path: Path) -> None:
    status, told = bulk("--since", "2026-02-01")
    assert (status, texts) == (0, ["a", "b", "c"])
    parameters, headers = server.kicked[0]
    assert parameters == {
        "_type": ["DocumentReference"],
        "_outputFormat": ["application/fhir+ndjson"],
        "_since": ["2026-02-01T00:00:00.000+00:00"],
    }
    assert (headers["Prefer"], headers["Accept"]) == ("respond-async", "application/fhir+json")
    looks = ["GET jobs/1"] * 4
    assert server.asked == ["GET $export", *looks, "GET files/1", "GET files/2", "DELETE jobs/1"]
    assert f"--since {TIME}" in told
    assert (tmp_path / "out" / "export").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("options", "path"),
    [(["--system"], "$export"), (["--patient"], "Patient/$export"), (["--group", "g1"], "Group/g1/$export")],
)
def test_levels(bulk: Run, server: ExportServer, options: list[str], path: str) -> None:
    assert bulk(*options)[0] == 0
    assert server.asked[0] == f"GET {path}"


def test_a_run_that_was_interrupted_goes_on(bulk: Run, server: ExportServer, texts: list[str]) -> None:
    server.answers = [("files/2", 403, {})]
    status, told = bulk()
    assert (status, "403" in told, texts) == (1, True, [])
    server.asked.clear()
    assert bulk()[0] == 0
    assert server.asked == ["GET files/2", "DELETE jobs/1"]
    assert texts == ["a", "b", "c"]
    server.asked.clear()
    assert bulk()[0] == 0
    assert (server.asked, len(texts)) == ([], 3)  # all is done


def test_one_that_was_interrupted_while_it_waited_asks_for_the_same_job(bulk: Run, server: ExportServer) -> None:
    server.answers = [("jobs/1", 403, {})]
    assert bulk()[0] == 1
    assert bulk()[0] == 0
    assert server.jobs == 1


def test_a_job_that_the_server_has_forgotten_is_asked_for_anew(bulk: Run, server: ExportServer) -> None:
    server.answers = [("jobs/1", 404, {})]
    status, told = bulk()
    assert (status, server.jobs, "any more" in told) == (0, 2, True)


def test_faults_that_pass_are_waited_for(bulk: Run, server: ExportServer, texts: list[str]) -> None:
    server.answers = [
        ("jobs/1", 503, {"Retry-After": "0"}),
        ("jobs/1", 429, {"Retry-After": "0"}),
        ("files/1", 503, {}),
        ("files/2", 200, {"Content-Type": "text/html"}),
    ]
    assert bulk()[0] == 0
    assert texts == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (("$export", 404, {}), "no $export"),
        (("$export", 400, {}), "400"),
        (("$export", 200, {}), "did not begin"),
        (("$export", 202, {"Content-Location": "http://evil.example.org/jobs/1"}), "another server"),
        (("jobs/1", 422, {}), "422"),
    ],
)
def test_refusals_are_told(
    bulk: Run, server: ExportServer, answer: tuple[str, int, dict[str, str]], message: str
) -> None:
    server.answers = [answer]
    status, told = bulk()
    assert (status, message in told) == (1, True)
    assert "Traceback" not in told


def test_files_elsewhere_must_be_allowed(
    bulk: Run, server: ExportServer, other: ExportServer, texts: list[str]
) -> None:
    server.file_base = f"{other.url}/files"
    status, told = bulk()
    assert (status, f"--allow {other.root}" in told, other.asked) == (1, True, [])
    assert bulk("--allow", other.root)[0] == 0
    assert (other.asked, texts) == (["GET files/1", "GET files/2"], ["a", "b", "c"])


def test_no_token_goes_elsewhere(bulk: Run, server: ExportServer, other: ExportServer) -> None:
    server.file_base = f"{other.url}/files"
    server.manifest["requiresAccessToken"] = True
    status, told = bulk("--allow", other.root)
    assert (status, "access token" in told, other.asked) == (1, True, [])


def test_a_file_that_is_not_whole_is_not_taken(bulk: Run, server: ExportServer, texts: list[str]) -> None:
    server.counts = {"1": 3}
    status, told = bulk()
    assert (status, "should have 3" in told, texts) == (1, True, [])


def test_what_the_export_says_beside_its_documents_is_told(bulk: Run, server: ExportServer, texts: list[str]) -> None:
    gone = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [{"request": {"method": "DELETE", "url": "DocumentReference/d-x"}}],
    }
    fault = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "processing"}]}
    server.files |= {"3": [gone], "4": [fault], "5": [{"resourceType": "Patient"}]}
    server.parts["output"].append(("Patient", "5"))
    server.parts |= {"deleted": [("Bundle", "3")], "error": [("OperationOutcome", "4")]}
    status, told = bulk()
    assert (status, texts) == (0, ["a", "b", "c"])
    assert "1 documents were deleted" in told
    assert "error: processing (1)" in told


def test_an_export_without_documents(bulk: Run, server: ExportServer) -> None:
    server.parts["output"] = []
    status, told = bulk()
    assert (status, "no documents" in told) == (0, True)


def test_a_folder_with_another_export_is_left_alone(bulk: Run) -> None:
    assert bulk()[0] == 0
    status, told = bulk("--patient")
    assert (status, "another export" in told) == (1, True)


def test_a_state_that_is_none(bulk: Run, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "export"
    folder.mkdir(parents=True)
    (folder / "export.json").write_text("{}")
    status, told = bulk()
    assert (status, "no state" in told) == (1, True)


@pytest.mark.parametrize("options", [["--group", "g1", "--patient"], ["--since", "yesterday"], ["--group", "../x"]])
def test_misuse(bulk: Run, server: ExportServer, options: list[str]) -> None:
    assert bulk(*options)[0] in (1, 2)
    assert server.asked == []


def test_back_to_the_server_needs_a_folder_for_the_files(
    server: ExportServer, monkeypatch: pytest.MonkeyPatch, capfdbinary: Any
) -> None:
    status, _, err = run_command(monkeypatch, capfdbinary, "bulk", "--server", server.url, "--server-out")
    assert (status, b"--work" in err) == (2, True)


def test_what_deleted_documents_gave_is_taken_back(
    bulk: Run, server: ExportServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Finding:
        def many(self, notes: list[Note], **_: int) -> list[CodedNote]:
            entity = Entity(text="a", start=0, end=1, type=EntityType.DISEASE)
            return [CodedNote(note=note, entities=(entity,) if note.text == "a" else ()) for note in notes]

    monkeypatch.setattr(Coder, "from_settings", lambda _: Finding())
    assert bulk()[0] == 0
    conditions = tmp_path / "out" / "Condition.ndjson"
    (made,) = map(json.loads, conditions.read_text().splitlines())
    assert made["verificationStatus"]["coding"][0]["code"] == "unconfirmed"

    entry = {"request": {"method": "DELETE", "url": "DocumentReference/d-a"}}
    server.files["3"] = [{"resourceType": "Bundle", "type": "transaction", "entry": [entry]}]
    server.parts = {"output": [], "deleted": [("Bundle", "3")]}
    status, told = bulk("--since", TIME, "--work", tmp_path / "second")
    assert (status, "1 resources that they gave are taken back" in told) == (0, True)
    assert json.loads(conditions.read_text().splitlines()[-1])["verificationStatus"]["coding"][0]["code"] == (
        "entered-in-error"
    )
