"""MLLP over real sockets, with senders of our own and of another make."""

import asyncio
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from fhir_coder.delivery.capacity import Capacity
from fhir_coder.delivery.database import open_database
from fhir_coder.delivery.inbox import Coded, Inbox
from fhir_coder.delivery.outbox import Outbox
from fhir_coder.errors import SettingsError
from fhir_coder.ingest.hl7v2 import parse
from fhir_coder.lookup.certificates import Certificates, make_certificates
from fhir_coder.service.metrics import Metrics
from fhir_coder.service.mllp import END, START, MllpServer
from fhir_coder.service.receiver import Receiver
from fhir_coder.settings import Settings


def message(number: int, words: str = "Pt has HTN.") -> bytes:
    lines = (
        rf"MSH|^~\&|APP|HOSP|US|HERE|20250422||MDM^T02^MDM_T02|M{number}|P|2.5.1",
        "PID|1||7^^^HOSP",
        f"TXA|1|PR|||||||||||D{number}",
        f"OBX|1|TX|||{words}||||||F",
    )
    return "\r".join(lines).encode() + b"\r"


def frame(content: bytes) -> bytes:
    return START + content + END


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    engine = open_database(tmp_path)
    opened = Inbox(engine)
    yield opened
    opened.close()
    engine.dispose()


@asynccontextmanager
async def listening(inbox: Inbox, **given: Any) -> AsyncIterator[int]:
    settings = Settings(mllp_port=0, mllp_tls_port=0, **given)
    server = MllpServer(Receiver(inbox, lambda: None, settings, Metrics()), settings)
    (address,) = await server.start()
    try:
        yield int(address.rpartition(":")[2])
    finally:
        await server.stop()


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def talk(inbox: Inbox, conversation: Talk, **given: Any) -> None:
    async def run() -> None:
        async with listening(inbox, **given) as port, asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                await conversation(reader, writer)
            finally:
                writer.close()
                await asyncio.sleep(0)

    asyncio.run(run())


async def acknowledgement(reader: asyncio.StreamReader) -> tuple[str, str]:
    raw = await reader.readuntil(END)
    assert raw.startswith(START)
    found = parse(raw.removeprefix(START).removesuffix(END))
    return found.value("MSA", 1), found.value("MSA", 2)


def test_whatever_way_frames_arrive(inbox: Inbox) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"garbage\r\n" + frame(message(1)) + frame(message(2)))
        assert await acknowledgement(reader) == ("AA", "M1")
        assert await acknowledgement(reader) == ("AA", "M2")
        whole = frame(message(3))
        for part in (whole[:1], whole[1:50], whole[50:-1], whole[-1:]):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.02)
        assert await acknowledgement(reader) == ("AA", "M3")

    talk(inbox, conversation)
    assert inbox.counts()["waiting"] == 3


def test_what_is_acknowledged_is_stored_and_a_repetition_only_once(inbox: Inbox) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            writer.write(frame(message(1)))
            assert await acknowledgement(reader) == ("AA", "M1")
            assert inbox.counts()["waiting"] == 1

    talk(inbox, conversation)


def test_faults_are_refused_and_the_connection_goes_on(inbox: Inbox) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for content, code in (
            (b"hello", "AR"),
            (message(1).replace(b"MDM^T02", b"SIU^S12"), "AR"),
            (message(1).replace(b"PID|1||7^^^HOSP", b"PID|1"), "AE"),
            (message(1, "x" * 5000), "AR"),
        ):
            writer.write(frame(content))
            assert (await acknowledgement(reader))[0] == code
        writer.write(frame(message(2)))
        assert await acknowledgement(reader) == ("AA", "M2")

    talk(inbox, conversation, max_body_bytes=2000)
    assert inbox.counts()["waiting"] == 1


def test_a_full_disk_is_not_answered(inbox: Inbox) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(message(1)))
        assert await acknowledgement(reader) == ("AA", "M1")
        # SQLite's own limit stands in for the disk: the same error, "database or disk is full".
        event.listen(
            inbox.queue.engine, "begin", lambda connection: connection.execute(text("PRAGMA max_page_count = 10"))
        )
        writer.write(frame(message(2, "HTN. " * 10_000)))
        assert await reader.read() == b""

    talk(inbox, conversation)
    assert inbox.counts()["waiting"] == 1


def test_after_the_disk_has_room_again_the_message_is_taken(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[tuple[str, str]] = []

    def full(_: object) -> list[int]:
        raise OSError("no space left")

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(message(1)))
        try:
            answers.append(await acknowledgement(reader))
        except asyncio.IncompleteReadError:
            answers.append(("closed", ""))

    with monkeypatch.context() as patched:
        patched.setattr(inbox._commits, "_write", full)
        talk(inbox, once)
    talk(inbox, once)
    assert answers == [("closed", ""), ("AA", "M1")]
    assert inbox.counts()["waiting"] == 1


def test_a_message_in_parts_is_stored_with_the_last(inbox: Inbox) -> None:
    whole = message(1).decode()
    header, body = whole.split("\r", 1)
    document, text = body.split("OBX", 1)
    first = f"{header}\r{document}DSC|P1|F\r".encode()
    second = f"{header.replace('|M1|', '|M2|')}||P1\rOBX{text}".encode()

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(first))
        assert await acknowledgement(reader) == ("AA", "M1")
        assert inbox.counts()["waiting"] == 0
        writer.write(frame(second))
        assert await acknowledgement(reader) == ("AA", "M2")

    talk(inbox, conversation)
    assert inbox.counts()["waiting"] == 1


def test_half_a_frame_is_not_stored(inbox: Inbox) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(START + message(1))
        writer.write_eof()
        assert await reader.read() == b""

    talk(inbox, conversation)
    assert inbox.counts()["waiting"] == 0


def test_many_connections_at_once(inbox: Inbox) -> None:
    async def one(port: int, number: int) -> tuple[str, str]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(frame(message(number)))
        answer = await acknowledgement(reader)
        writer.close()
        return answer

    async def run() -> None:
        async with listening(inbox) as port, asyncio.timeout(60):
            answers = await asyncio.gather(*(one(port, number) for number in range(50)))
            assert answers == [("AA", f"M{number}") for number in range(50)]

    asyncio.run(run())
    assert inbox.counts()["waiting"] == 50


def test_many_messages_share_a_commit(inbox: Inbox) -> None:
    commits: list[object] = []
    event.listen(inbox.queue.engine, "commit", commits.append)

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(frame(message(number)) for number in range(100)))
        assert [await acknowledgement(reader) for _ in range(100)] == [("AA", f"M{number}") for number in range(100)]

    talk(inbox, conversation)
    assert inbox.counts()["waiting"] == 100
    assert len(commits) < 50


def test_a_message_of_50_mb(inbox: Inbox) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(message(1, "HTN. " * 9_990_000)))
        assert await acknowledgement(reader) == ("AA", "M1")

    talk(inbox, conversation, max_note_chars=60_000_000)
    assert inbox.counts()["waiting"] == 1


def test_a_message_above_the_limit_is_refused_and_the_next_one_taken(inbox: Inbox) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(message(1, "HTN. " * 1_000_000)) + frame(message(2)))
        assert await acknowledgement(reader) == ("AR", "M1")
        assert await acknowledgement(reader) == ("AA", "M2")

    talk(inbox, conversation, max_body_bytes=1_000_000)


@pytest.mark.parametrize("beginning", [START, START + message(1)[:50]])
def test_a_sender_that_stops_within_a_message_is_given_up(inbox: Inbox, beginning: bytes) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(beginning)
        assert await reader.read() == b""

    talk(inbox, conversation, mllp_timeout=0.2)
    assert inbox.counts()["waiting"] == 0


def test_a_sender_that_drips_is_given_up(inbox: Inbox) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(START)
        closed = asyncio.ensure_future(reader.read())
        while not closed.done():
            writer.write(b"x")
            await asyncio.sleep(0.02)
        assert closed.exception() is not None or closed.result() == b""

    talk(inbox, conversation, mllp_timeout=0.2)


def test_a_silent_connection_stays(inbox: Inbox) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in (1, 2):
            writer.write(frame(message(number)))
            assert await acknowledgement(reader) == ("AA", f"M{number}")
            await asyncio.sleep(0.3)

    talk(inbox, conversation, mllp_timeout=0.1)


def test_more_connections_than_allowed_are_turned_away(inbox: Inbox) -> None:
    async def run() -> None:
        async with listening(inbox, mllp_connections=1) as port, asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(frame(message(1)))
            assert await acknowledgement(reader) == ("AA", "M1")
            other, unused = await asyncio.open_connection("127.0.0.1", port)
            assert await other.read() == b""
            unused.close()
            writer.write(frame(message(2)))
            assert await acknowledgement(reader) == ("AA", "M2")
            writer.close()

    asyncio.run(run())


def test_unfinished_messages_of_many_senders_are_bounded_together(inbox: Inbox) -> None:
    async def run() -> None:
        async with listening(inbox, max_body_bytes=2_000_000) as port, asyncio.timeout(60):
            connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(12)]
            closed = [asyncio.ensure_future(reader.read()) for reader, _ in connections]
            for _, writer in connections:
                writer.write(START + b"MSH|" + b"x" * 1_900_000)
            await asyncio.wait(closed, return_when=asyncio.FIRST_COMPLETED)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(frame(message(1)))  # there is always room for a small one
            assert await acknowledgement(reader) == ("AA", "M1")
            for _, each in [*connections, (reader, writer)]:
                each.close()
            await asyncio.gather(*closed, return_exceptions=True)

    asyncio.run(run())
    assert inbox.counts()["waiting"] == 1


def test_hostile_frames_leave_others_alone(inbox: Inbox) -> None:
    hostile = (b"\x00" * 100_000, START * 10_000, END * 10_000, b"\x1c" * 10_000, frame(b""), frame(b"\xff" * 1000))

    async def run() -> None:
        async with listening(inbox) as port, asyncio.timeout(60):
            for content in hostile:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(content)
                await writer.drain()
                writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(frame(message(1)))
            assert await acknowledgement(reader) == ("AA", "M1")
            writer.close()

    asyncio.run(run())
    assert inbox.counts()["waiting"] == 1


@pytest.mark.parametrize(
    ("modes", "good", "bad"),
    [("|||AL|NE", "CA", "CR"), ("|||NE|AL", "AA", "AR"), ("|||ER|NE", None, "CR"), ("|||SU|NE", "CA", None)],
)
def test_the_enhanced_mode(inbox: Inbox, modes: str, good: str | None, bad: str | None) -> None:
    taken, refused = (
        message(number).replace(b"|2.5.1", f"|2.5.1{modes}".encode()).replace(b"MDM^T02", kind)
        for number, kind in ((1, b"MDM^T02"), (2, b"SIU^S12"))
    )

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(taken) + frame(refused) + frame(message(3)))
        expected = [(code, f"M{number}") for number, code in ((1, good), (2, bad), (3, "AA")) if code]
        assert [await acknowledgement(reader) for _ in expected] == expected

    talk(inbox, conversation)
    assert inbox.counts()["waiting"] == 2


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def _tls(made: Certificates, *, mutual: bool) -> dict[str, Any]:
    given = {"mllp": "tls", "mllp_tls_certificate": made.server.certificate, "mllp_tls_key": made.server.key}
    return given | ({"mllp_tls_client_ca": made.authority.certificate} if mutual else {})


def _client(made: Certificates, *, own: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(made.authority.certificate))
    if own:
        context.load_cert_chain(made.client.certificate, made.client.key)
    return context


@pytest.mark.parametrize("mutual", [False, True])
def test_tls(inbox: Inbox, certificates: Certificates, mutual: bool) -> None:
    async def run() -> None:
        async with listening(inbox, **_tls(certificates, mutual=mutual)) as port, asyncio.timeout(20):
            context = _client(certificates, own=mutual)
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            writer.write(frame(message(1)))
            assert await acknowledgement(reader) == ("AA", "M1")
            writer.close()
            await writer.wait_closed()

    asyncio.run(run())
    assert inbox.counts()["waiting"] == 1


def test_without_its_certificate_a_sender_is_turned_away(inbox: Inbox, certificates: Certificates) -> None:
    async def attempt(port: int) -> tuple[str, str]:
        context = _client(certificates, own=False)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        try:
            writer.write(frame(message(1)))
            return await acknowledgement(reader)
        finally:
            writer.transport.abort()
            await asyncio.sleep(0)

    async def run() -> None:
        async with listening(inbox, **_tls(certificates, mutual=True)) as port, asyncio.timeout(20):
            await attempt(port)

    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        asyncio.run(run())
    assert inbox.counts()["waiting"] == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mllp": "tls"}, "mllp_tls_certificate"),
        ({"mllp": "both", "mllp_tls_certificate": "none.pem", "mllp_tls_key": "none.key"}, "mllp_tls_certificate"),
    ],
)
def test_a_certificate_that_is_missing_stops_the_program(inbox: Inbox, given: dict[str, Any], said: str) -> None:
    async def run() -> None:
        settings = Settings(mllp_port=0, **given)
        await MllpServer(Receiver(inbox, lambda: None, settings, Metrics()), settings).start()

    with pytest.raises(SettingsError, match=said):
        asyncio.run(run())


def test_the_sender_of_the_hl7_package(inbox: Inbox, tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("mllp_send")
    if not command.exists() and not shutil.which("mllp_send"):
        pytest.fail("the package hl7 is not installed: pip install -e .[dev]")
    file = tmp_path / "messages.hl7"
    file.write_bytes(message(1).replace(b"\r", b"\n") + message(2).replace(b"\r", b"\n"))

    async def run() -> str:
        async with listening(inbox) as port:
            call = [str(command), "--loose", "--file", str(file), "--port", str(port), "127.0.0.1"]
            done = await asyncio.to_thread(subprocess.run, call, capture_output=True, text=True, timeout=30)
            assert done.returncode == 0, done.stderr
            return done.stdout

    output = asyncio.run(run())
    assert "MSA|AA|M1" in output
    assert "MSA|AA|M2" in output
    assert inbox.counts()["waiting"] == 2


def test_while_as_much_waits_as_may_nothing_is_read(inbox: Inbox, tmp_path: Path) -> None:
    outbox = Outbox(inbox.queue.engine)
    settings = Settings(mllp_port=0, mllp_tls_port=0, queue_max_items=1, queue_min_free_bytes=0)
    capacity = Capacity(settings, inbox, outbox)
    server = MllpServer(Receiver(inbox, lambda: None, settings, Metrics(), capacity), settings)

    async def run() -> None:
        (address,) = await server.start()
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
            writer.write(frame(message(1)))
            assert await acknowledgement(reader) == ("AA", "M1")
            await asyncio.to_thread(capacity._step)
            other_reader, other = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
            other.write(frame(message(2)))
            answer = asyncio.ensure_future(acknowledgement(other_reader))
            await asyncio.sleep(0.6)
            assert not answer.done()
            item = inbox.take()
            assert item is not None
            inbox.coded(item, Coded())
            await asyncio.to_thread(capacity._step)
            assert await answer == ("AA", "M2")
            writer.close()
            other.close()
        await server.stop()

    asyncio.run(run())
    assert inbox.counts() == {"waiting": 1, "coded": 1, "failed": 0}
