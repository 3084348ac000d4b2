"""A FHIR server in memory that receives transactions, fails on purpose, and keeps account, for the benchmarks here.

It knows what the outbox uses of https://hl7.org/fhir/R4/http.html: transactions of conditional creates, conditional
updates and updates by id, reads by id, searches (for what others wrote: nothing), 429 and 503 with Retry-After. A real
server checks more and is slower; what is counted here is what was lost, what came twice, and what came too early.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_CLOCK = 0.002  # seconds, by which two clocks of one machine may differ in the reading


@dataclass
class Faults:
    """Of so many of all transactions (0..1) the answer is a fault."""

    busy: float = 0.0  # 429
    unavailable: float = 0.0  # 503
    written_but_500: float = 0.0
    retry_after: int = 1  # seconds


@dataclass
class Account:
    """What was received."""

    resources: dict[str, dict[str, Any]] = field(default_factory=dict)  # by place: "Condition/7"
    places: dict[str, str] = field(default_factory=dict)  # "Condition?identifier=..." -> place
    transactions: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    early: int = 0  # retries before the time that the server had asked for
    first_seen: list[str] = field(default_factory=list)  # identifiers of documents, in the order of their arrival

    def count(self, resource_type: str) -> int:
        """Return the number of resources of a type."""
        return sum(place.startswith(f"{resource_type}/") for place in self.resources)

    def documents(self) -> Counter[str]:
        """Return how many DocumentReferences there are of each masterIdentifier."""
        found = (each for place, each in self.resources.items() if place.startswith("DocumentReference/"))
        return Counter(each.get("masterIdentifier", {}).get("value", "none") for each in found)


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: clients that are killed break their connections."""


class ReceivingServer:
    """The server. A context manager; `url` is its base."""

    def __init__(self, faults: Faults | None = None, *, seconds: float = 0.0, port: int = 0) -> None:
        """Each transaction takes `seconds`."""
        self.account = Account()
        self.faults = faults or Faults()
        self.away = False
        self._seconds = seconds
        self._lock = threading.Lock()
        self._not_before: dict[str, float] = {}
        self._random = random.Random(7)  # noqa: S311 - faults, not secrets
        self._http = _QuietServer(("127.0.0.1", port), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/fhir"

    def __enter__(self) -> ReceivingServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def transaction(self, body: bytes) -> tuple[int, dict[str, str], Any]:
        """Return status, headers and body of the answer."""
        time.sleep(self._seconds)
        entries = json.loads(body)["entry"]
        # The same content is the same delivery tried again.
        name = sha256(json.dumps([entry["fullUrl"] for entry in entries]).encode()).hexdigest()
        with self._lock:
            account = self.account
            account.transactions += 1
            if time.monotonic() < self._not_before.pop(name, 0.0) - _CLOCK:
                account.early += 1
            fault = self._fault()
            if fault in ("429", "503"):
                self._not_before[name] = time.monotonic() + self.faults.retry_after
                account.faults[fault] += 1
                return int(fault), {"Retry-After": str(self.faults.retry_after)}, _outcome()
            answers = self._write(entries)
            if fault == "500":
                account.faults["500, written"] += 1
                return 500, {}, _outcome()
        return 200, {}, {"resourceType": "Bundle", "type": "transaction-response", "entry": answers}

    def read(self, place: str) -> tuple[int, dict[str, str], Any]:
        """Return status, headers and body of the answer."""
        with self._lock:
            found = self.account.resources.get(place)
        return (200, {"ETag": f'W/"{found["meta"]["versionId"]}"'}, found) if found else (404, {}, _outcome())

    def search(self) -> tuple[int, dict[str, str], Any]:
        """Return what every search finds: nothing that somebody else has written."""
        return 200, {}, {"resourceType": "Bundle", "type": "searchset", "entry": []}

    def _fault(self) -> str:
        drawn, faults = self._random.random(), self.faults
        for name, share in (("429", faults.busy), ("503", faults.unavailable), ("500", faults.written_but_500)):
            if drawn < share:
                return name
            drawn -= share
        return ""

    def _write(self, entries: list[dict[str, Any]]) -> list[Any]:
        known: dict[str, str] = {}
        answers = []
        for entry in entries:
            resource, request = entry["resource"], entry["request"]
            place, created = self._place(resource["resourceType"], request)
            known[entry["fullUrl"]] = place
            if created or request["method"] == "PUT":
                version = int(self.account.resources.get(place, {}).get("meta", {}).get("versionId", 0)) + 1
                meta = {**resource.get("meta", {}), "versionId": str(version)}
                self.account.resources[place] = {**resource, "id": place.partition("/")[2], "meta": meta}
            if created and resource["resourceType"] == "DocumentReference":
                self.account.first_seen.append(resource.get("masterIdentifier", {}).get("value", "none"))
            version = self.account.resources[place]["meta"]["versionId"]
            answers.append(
                {"response": {"status": "201" if created else "200", "location": f"{place}/_history/{version}"}}
            )
        return answers

    def _place(self, resource_type: str, request: dict[str, Any]) -> tuple[str, bool]:
        """Return where a resource goes, and whether nothing is there yet."""
        url = request["url"]
        if request["method"] == "PUT" and "/" in url and "?" not in url:
            return url, url not in self.account.resources
        query = request.get("ifNoneExist") or url.partition("?")[2]
        key = f"{resource_type}?{query}"
        place = self.account.places.get(key)
        if query and place is not None:
            return place, False
        place = f"{resource_type}/{len(self.account.resources) + 1}"
        self.account.places[key] = place
        return place, True

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if server.away:
                    server.account.transactions += 1
                    self.close_connection = True
                    return
                self._answer(*server.transaction(body))

            def do_GET(self) -> None:
                path = self.path.partition("?")[0].split("/")[2:4]
                self._answer(*(server.read("/".join(path)) if len(path) == 2 else server.search()))

            def _answer(self, status: int, headers: dict[str, str], content: Any) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Type": "application/fhir+json"}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _outcome() -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "transient"}]}
