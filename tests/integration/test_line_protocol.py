"""The line protocol over real sockets: clients of all kinds, and none that harms another."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from fhir_coder.errors import BenchmarkError, SettingsError
from fhir_coder.lookup.batcher import Answer, Question
from fhir_coder.lookup.certificates import Certificates, make_certificates
from fhir_coder.lookup.connection import _IN_FLIGHT
from fhir_coder.lookup.load import Load, Target, run_load
from fhir_coder.lookup.metrics import LineMetrics
from fhir_coder.lookup.protocol import PORTS
from fhir_coder.lookup.server import LineServer
from fhir_coder.settings import Settings

SECONDS = 20  # after which a test has failed
CANARY = "Zebrafinch"


class Running:
    """A server in a thread, whose worker answers with what it was asked and can be held up."""

    def __init__(self, **given: object) -> None:
        self.registry = CollectorRegistry()
        self.settings = Settings.load(**({"line_protocol": "tcp", "line_port": 0, "line_tls_port": 0} | given))
        self.go_on = threading.Event()
        self.go_on.set()
        self.asked: list[str] = []
        self.ports: dict[tuple[str, bool], int] = {}
        self._started: Future[None] = Future()
        self._stop: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def _answer(self, questions: Sequence[Question]) -> list[Answer]:
        assert self.go_on.wait(SECONDS)
        self.asked += [text for _, text in questions]
        return [{"unsure": "", "CRASH": None}.get(text, f"{system}:{text}"[:40]) for system, text in questions]

    async def _run(self) -> None:
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        self._stop = lambda: loop.call_soon_threadsafe(stopped.set)
        try:
            server = self._server = LineServer(self.settings, [self._answer], LineMetrics(self.registry))
            self.ports = {(each.system, each.tls): each.port for each in await server.start()}
        except Exception as error:
            self._started.set_exception(error)
            return
        self._started.set_result(None)
        await stopped.wait()
        await server.stop()

    def start(self) -> Running:
        self._thread.start()
        self._started.result(SECONDS)
        return self

    def stop(self) -> None:
        """Begin to stop, unless it has stopped already."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it stops at this moment
                self._stop()

    def join(self) -> None:
        self._thread.join(SECONDS)
        assert not self._thread.is_alive()

    def port(self, system: str = "icd10cm", *, tls: bool = False) -> int:
        return self.ports[system, tls]

    def in_work(self) -> int:
        """Return how many lines were taken and not answered yet."""
        return sum(len(connection._asked) for connection in list(self._server._house.connections))

    def metric(self, line: str) -> float:
        """Return the value of a metric, 0 when it is not there."""
        found = re.search(rf"^{re.escape(line)} (\S+)$", generate_latest(self.registry).decode(), re.MULTILINE)
        return float(found[1]) if found else 0.0


Serve = Callable[..., Running]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers, and stop them at the end."""
    started: list[Running] = []

    def start(**given: object) -> Running:
        started.append(Running(**given))
        return started[-1].start()

    yield start
    for server in started:
        server.go_on.set()
        server.stop()
        server.join()


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Development certificates."""
    return make_certificates(tmp_path_factory.mktemp("tls"))


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=SECONDS)


def ask(connection: socket.socket, line: bytes) -> bytes:
    connection.sendall(line)
    return read_line(connection)


def read_line(connection: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"\n"):
        part = connection.recv(1)
        assert part, f"closed after {received!r}"
        received += part
    return received


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def ancestors_client(host: str, port: int, descriptions: Sequence[str]) -> dict[int, str]:
    """The client of the system that this one follows: a few lines of blocking sockets, one line sent, one read."""
    codes = {}
    with socket.create_connection((host, port), timeout=SECONDS) as connection, connection.makefile("r") as answers:
        for number, description in enumerate(descriptions):
            connection.sendall(f"{number},{description}\n".encode())
            sequence, code = answers.readline().rstrip("\n").split(",", 1)
            codes[int(sequence)] = code
    return codes


def test_the_ancestors_client_on_every_port(serve: Serve) -> None:
    server = serve()
    for system in PORTS:
        found = ancestors_client("127.0.0.1", server.port(system), ["hypertension", "asthma, acute", "unsure"])
        assert found == {0: f"{system}:hypertension", 1: f"{system}:asthma, acute", 2: ""}


def test_the_ports_follow_the_first_one(serve: Serve) -> None:
    first = 28901
    server = serve(line_port=first)
    assert [server.port(system) for system in ("icd10cm", "snomed", "loinc", "rxnorm", "hcpcs")] == [
        first + offset for offset in range(5)
    ]
    with pytest.raises(SettingsError, match=r"setting line_port: cannot listen on 127\.0\.0\.1:28901"):
        Running(line_port=first).start()


def test_answers_come_in_the_order_of_lines_however_many_are_sent_at_once(serve: Serve) -> None:
    server = serve()
    with connect(server.port()) as connection:
        number = 5000
        sender = threading.Thread(
            target=connection.sendall, args=(b"".join(b"%d,thing %d\n" % (n, n) for n in range(number)),)
        )
        sender.start()
        for expected in range(number):
            assert read_line(connection) == b"%d,icd10cm:thing %d\n" % (expected, expected)
        sender.join()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"1,a, b,c\n", b"1,icd10cm:a, b,c\n"),
        ("1,Sjögren’s\n".encode(), "1,icd10cm:Sjögren’s\n".encode()),
        (b"1,windows\r\n", b"1,icd10cm:windows\n"),
        (b"1,unsure\n", b"1,\n"),
        (b"1,\n", b"1,!empty-description\n"),
        (b"1\n", b"1,!empty-description\n"),
        (b"1,\xff\xfe\n", b"1,!not-utf-8\n"),
        (b"hypertension\n", b",!no-sequence-number\n"),
        (b"one,hypertension\n", b",!no-sequence-number\n"),
        (b"\n", b",!no-sequence-number\n"),
        (b"1," + b"x" * 1_000_000 + b"\n", b"1,!line-too-long\n"),
        (b"x" * 1_000_000 + b"\n", b",!line-too-long\n"),
        (b"1,CRASH\n", b"1,!failed\n"),
    ],
    ids=lambda value: value[:12],
)
def test_each_has_its_stated_answer_and_the_connection_goes_on(serve: Serve, line: bytes, expected: bytes) -> None:
    server = serve()
    with connect(server.port()) as connection:
        assert ask(connection, line) == expected
        assert ask(connection, b"2,next\n") == b"2,icd10cm:next\n"


def test_a_line_in_pieces(serve: Serve) -> None:
    server = serve()
    with connect(server.port()) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"12,a b":
            connection.sendall(bytes((byte,)))
            time.sleep(0.002)
        assert ask(connection, b"c\n") == b"12,icd10cm:a bc\n"


def test_a_client_that_closes_its_side_gets_all_answers(serve: Serve) -> None:
    server = serve()
    server.go_on.clear()
    with connect(server.port()) as connection:
        connection.sendall(b"1,a\n2,b\n3,not the whole")
        connection.shutdown(socket.SHUT_WR)
        server.go_on.set()
        assert read_all(connection) == b"1,icd10cm:a\n2,icd10cm:b\n3,!incomplete-line\n"


def test_half_a_line_and_silence(serve: Serve) -> None:
    server = serve(line_timeout=0.2)
    with connect(server.port()) as silent, connect(server.port()) as other, connect(server.port()) as idle:
        silent.sendall(b"1,a\n2,half")
        assert ask(other, b"1,b\n") == b"1,icd10cm:b\n"
        assert read_all(silent) == b"1,icd10cm:a\n,!timeout\n"
        assert ask(idle, b"1,c\n") == b"1,icd10cm:c\n"  # who has begun no line may wait as long as it likes
    assert server.metric('fhir_coder_line_connections_dropped_total{reason="timeout"}') == 1


def test_an_endless_line(serve: Serve) -> None:
    server = serve(line_timeout=0.3)
    with connect(server.port()) as endless:
        answers: list[bytes] = []
        reader = threading.Thread(target=lambda: answers.append(read_all(endless)))
        reader.start()
        endless.sendall(b"1,")
        with contextlib.suppress(ConnectionError):
            while reader.is_alive():
                endless.sendall(b"x" * 10_000)
        reader.join()
    assert answers == [b"1,!line-too-long\n,!timeout\n"]


def test_a_client_that_never_reads_is_made_to_wait_then_dropped(serve: Serve) -> None:
    server = serve(line_timeout=0.5)
    with socket.socket() as deaf, connect(server.port()) as other:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(SECONDS)
        deaf.connect(("127.0.0.1", server.port()))
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 1_000_000_000:
                sent += deaf.send(b"1,a description that is looked up\n" * 1000)
                assert ask(other, b"7,b\n") == b"7,icd10cm:b\n"
        assert server.metric('fhir_coder_line_connections_dropped_total{reason="does-not-read"}') == 1
        assert ask(other, b"8,b\n") == b"8,icd10cm:b\n"
    assert sent < 50_000_000  # the buffers of both kernels, and no more


def test_one_that_sends_much_does_not_keep_the_others_waiting(serve: Serve) -> None:
    server = serve()
    server.go_on.clear()
    with connect(server.port()) as much, connect(server.port("snomed")) as little:
        much.sendall(b"".join(b"%d,much\n" % number for number in range(10_000)))
        little.sendall(b"1,little\n")
        until(lambda: server.in_work() == _IN_FLIGHT + 1)
        server.go_on.set()
        assert read_line(little) == b"1,snomed:little\n"
        assert server.asked.count("much") < 1000
        for number in range(10_000):
            assert read_line(much) == b"%d,icd10cm:much\n" % number


def test_a_full_queue_makes_clients_wait_and_loses_nothing(serve: Serve) -> None:
    server = serve(line_queue=3)
    server.go_on.clear()
    answered: list[dict[int, str]] = []

    def client(number: int) -> None:
        answered.append(ancestors_client("127.0.0.1", server.port(), [f"{number}.{n}" for n in range(5)]))

    clients = [threading.Thread(target=client, args=(number,)) for number in range(20)]
    for each in clients:
        each.start()
    until(lambda: server.metric("fhir_coder_line_connections") == 20 and server.in_work() >= 3)
    assert not answered
    server.go_on.set()
    for each in clients:
        each.join(SECONDS)
    assert sorted(each[0] for each in answered) == sorted(f"icd10cm:{number}.0" for number in range(20))
    assert all(len(each) == 5 for each in answered)


def test_too_many_connections(serve: Serve) -> None:
    server = serve(line_connections=2)
    with connect(server.port()) as first, connect(server.port("snomed")) as second:
        assert ask(first, b"1,a\n") == b"1,icd10cm:a\n"
        assert ask(second, b"1,a\n") == b"1,snomed:a\n"
        with connect(server.port()) as third:
            assert read_all(third) == b",!too-many-connections\n"
        assert ask(first, b"2,b\n") == b"2,icd10cm:b\n"
        second.close()
        until(lambda: server.metric("fhir_coder_line_connections") == 1)
        with connect(server.port()) as third:
            assert ask(third, b"3,c\n") == b"3,icd10cm:c\n"


def load(server: Running, lines: Sequence[str], concurrent: int) -> Load:
    target = Target("127.0.0.1", server.port())
    return asyncio.run(run_load([(target, line) for line in lines], concurrent))


def test_a_load_is_answered_line_by_line(serve: Serve) -> None:
    done = load(serve(), [f"thing {number}" for number in range(300)] + ["unsure", "CRASH"], 7)
    answers = {sent.number: sent.answer for sent in done.sent}
    assert answers == {number: f"icd10cm:thing {number}" for number in range(300)} | {300: "", 301: "!failed"}
    assert sum(sent.succeeded for sent in done.sent) == 301
    assert all(0 < sent.seconds < done.seconds for sent in done.sent)


def test_a_load_goes_on_when_connections_are_turned_away(serve: Serve) -> None:
    done = load(serve(line_connections=3), [f"thing {number}" for number in range(100)], 5)
    assert len({sent.number for sent in done.sent}) == 100
    assert 98 <= sum(sent.succeeded for sent in done.sent) <= 100


def test_a_load_on_nothing() -> None:
    with pytest.raises(BenchmarkError, match="does not take connections"):
        asyncio.run(run_load([(Target("127.0.0.1", 9), "hypertension")], 1))


def test_clients_that_go_away_leave_nothing_behind(serve: Serve) -> None:
    server = serve()
    server.go_on.clear()
    for number in range(20):
        with connect(server.port()) as gone:
            gone.sendall(b"1,gone %d\n" % number)
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # with a reset
    server.go_on.set()
    until(lambda: server.metric("fhir_coder_line_connections") == 0)
    with connect(server.port()) as connection:
        assert ask(connection, b"1,here\n") == b"1,icd10cm:here\n"


def test_a_stop_answers_what_was_received(serve: Serve) -> None:
    server = serve()
    server.go_on.clear()
    with connect(server.port()) as connection, connect(server.port()) as idle:
        connection.sendall(b"".join(b"%d,a\n" % number for number in range(500)))
        until(lambda: server.in_work() == _IN_FLIGHT)
        server.stop()
        assert read_all(idle) == b""
        server.go_on.set()
        assert read_all(connection) == b"".join(b"%d,icd10cm:a\n" % number for number in range(500))
    server.join()
    with pytest.raises(ConnectionRefusedError):
        connect(server.port())


def test_a_stop_does_not_wait_for_ever(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhir_coder.lookup.server.GRACE_SECONDS", 0.2)
    server = serve()
    server.go_on.clear()
    with connect(server.port()) as connection:
        connection.sendall(b"1,a\n")
        until(lambda: server.metric("fhir_coder_line_connections") == 1)
        server.stop()
        with contextlib.suppress(ConnectionError):
            assert read_all(connection) == b""
        server.join()


def test_no_query_in_logs_or_metrics(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = serve(line_timeout=0.2)
    for line in (f"1,{CANARY}\n", f"{CANARY}\n", f"1,{CANARY}\xff\n", f"1,{CANARY * 1000}\n", f"{CANARY},\n"):
        with connect(server.port()) as connection:
            ask(connection, line.encode("latin-1"))
    with connect(server.port()) as connection:
        connection.sendall(f"1,{CANARY}".encode())
        assert read_all(connection) == b",!timeout\n"
    until(lambda: server.metric("fhir_coder_line_connections") == 0)
    assert server.metric('fhir_coder_lines_total{answer="coded",system="icd10cm"}') == 1
    assert CANARY not in generate_latest(server.registry).decode()
    assert CANARY not in caplog.text


def tls(files: Certificates, *, client: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(files.authority.certificate))
    if client:
        context.load_cert_chain(files.client.certificate, files.client.key)
    return context


def over_tls(port: int, context: ssl.SSLContext, host: str = "localhost") -> ssl.SSLSocket:
    return context.wrap_socket(connect(port), server_hostname=host)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls(serve: Serve, files: Certificates, version: ssl.TLSVersion) -> None:
    server = serve(line_protocol="both", line_tls_certificate=files.server.certificate, line_tls_key=files.server.key)
    context = tls(files)
    context.minimum_version = context.maximum_version = version
    for host in ("localhost", "127.0.0.1"):
        with over_tls(server.port("loinc", tls=True), context, host) as connection:
            connection.sendall(b"".join(b"%d,a, b\n" % number for number in range(300)))
            for number in range(300):
                assert read_line(connection) == b"%d,loinc:a, b\n" % number
            assert ask(connection, b"1," + b"x" * 1_000_000 + b"\n2,b\n") == b"1,!line-too-long\n"
    assert ancestors_client("127.0.0.1", server.port(), ["in clear text"]) == {0: "icd10cm:in clear text"}


def test_tls_alone_has_no_port_in_clear_text_and_speaks_none(serve: Serve, files: Certificates) -> None:
    server = serve(line_protocol="tls", line_tls_certificate=files.server.certificate, line_tls_key=files.server.key)
    assert all(is_tls for _, is_tls in server.ports)
    with connect(server.port(tls=True)) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(b"1,a description in clear text\n")
        assert b"icd10cm" not in read_all(connection)
    assert server.asked == []


def test_old_tls_is_refused(serve: Serve, files: Certificates) -> None:
    server = serve(line_protocol="tls", line_tls_certificate=files.server.certificate, line_tls_key=files.server.key)
    context = tls(files)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with connect(server.port(tls=True)) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(plain, server_hostname="localhost")


def test_client_certificates(serve: Serve, files: Certificates, tmp_path: Path) -> None:
    server = serve(
        line_protocol="tls",
        line_tls_certificate=files.server.certificate,
        line_tls_key=files.server.key,
        line_tls_client_ca=files.authority.certificate,
    )
    port = server.port(tls=True)
    with over_tls(port, tls(files, client=True)) as connection:
        assert ask(connection, b"1,a\n") == b"1,icd10cm:a\n"
    strangers = tls(files)
    others = make_certificates(tmp_path)
    strangers.load_cert_chain(others.client.certificate, others.client.key)
    for context in (tls(files), strangers):
        # In TLS 1.3 a client learns of its refusal when it first reads.
        with contextlib.suppress(ssl.SSLError, ConnectionError), over_tls(port, context) as connection:
            connection.sendall(b"1,b\n")
            assert connection.recv(100) == b"", "was let in"
    assert server.asked == ["a"]


def test_a_stop_answers_over_tls(serve: Serve, files: Certificates) -> None:
    server = serve(line_protocol="tls", line_tls_certificate=files.server.certificate, line_tls_key=files.server.key)
    server.go_on.clear()
    with over_tls(server.port(tls=True), tls(files)) as connection:
        connection.sendall(b"1,a\n2,b\n")
        until(lambda: server.in_work() == 2)
        server.stop()
        server.go_on.set()
        assert read_all(connection) == b"1,icd10cm:a\n2,icd10cm:b\n"
