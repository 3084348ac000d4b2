"""MLLP over real sockets, with senders of our own and of another make."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fhir_coder.delivery.inbox import Inbox
from fhir_coder.ingest.hl7v2 import parse
from fhir_coder.service.metrics import Metrics
from fhir_coder.service.mllp import END, START, MllpServer
from fhir_coder.service.receiver import Receiver
from fhir_coder.settings import Settings


def message(number: int, text: str = "Pt has HTN.") -> bytes:
    lines = (
        rf"MSH|^~\&|APP|HOSP|US|HERE|20250422||MDM^T02^MDM_T02|M{number}|P|2.5.1",
        "PID|1||7^^^HOSP",
        f"TXA|1|PR|||||||||||D{number}",
        f"OBX|1|TX|||{text}||||||F",
    )
    return "\r".join(lines).encode() + b"\r"


def frame(content: bytes) -> bytes:
    return START + content + END


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    opened = Inbox(tmp_path)
    yield opened
    opened.close()


@asynccontextmanager
async def listening(inbox: Inbox, **given: int) -> AsyncIterator[int]:
    settings = Settings(**given)  # type: ignore[arg-type]
    server = MllpServer(Receiver(inbox, lambda: None, settings, Metrics()), settings.max_body_bytes)
    port = await server.start("127.0.0.1", 0)
    try:
        yield port
    finally:
        await server.stop()


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def talk(inbox: Inbox, conversation: Talk, **given: int) -> None:
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
    assert inbox.counts()["received"] == 3


def test_what_is_acknowledged_is_stored_and_a_repetition_only_once(inbox: Inbox) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            writer.write(frame(message(1)))
            assert await acknowledgement(reader) == ("AA", "M1")
            assert inbox.counts()["received"] == 1

    talk(inbox, conversation)


def test_faults_are_refused_and_the_connection_goes_on(inbox: Inbox) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for content, code in (
            (b"hello", "AR"),
            (message(1).replace(b"MDM^T02", b"ADT^A01"), "AR"),
            (message(1).replace(b"PID|1||7^^^HOSP", b"PID|1"), "AE"),
            (message(1, "x" * 5000), "AR"),
        ):
            writer.write(frame(content))
            assert (await acknowledgement(reader))[0] == code
        writer.write(frame(message(2)))
        assert await acknowledgement(reader) == ("AA", "M2")

    talk(inbox, conversation, max_body_bytes=2000)
    assert inbox.counts()["received"] == 1


def test_a_full_disk_is_not_answered(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError("no space left")

    monkeypatch.setattr(inbox, "store", full)

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(message(1)))
        assert await reader.read() == b""

    talk(inbox, conversation)


def test_half_a_frame_is_not_stored(inbox: Inbox) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(START + message(1))
        writer.write_eof()
        assert await reader.read() == b""

    talk(inbox, conversation)
    assert inbox.counts()["received"] == 0


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
    assert inbox.counts()["received"] == 50


def test_a_message_of_10_mb(inbox: Inbox) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(message(1, "HTN. " * 2_000_000)))
        assert await acknowledgement(reader) == ("AA", "M1")

    talk(inbox, conversation, max_note_chars=20_000_000)


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
    assert inbox.counts()["received"] == 2
