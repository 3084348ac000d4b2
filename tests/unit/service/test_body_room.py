"""The sum of all bodies in memory is bounded, and what a request held is free again however it ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from fhir_coder.errors import QueueFullError
from fhir_coder.service.body import BodyRoom

MEGABYTE = 1_000_000


class Sender:
    """A request whose body comes in pieces, as it is told."""

    def __init__(self, room: BodyRoom) -> None:
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self.read = 0
        self.task = asyncio.ensure_future(room({"type": "http", "sender": self}, self._receive, _unsent))

    async def send(self, size: int) -> None:
        self._pieces.put_nowait(bytes(size))
        for _ in range(5):
            await asyncio.sleep(0)

    async def _receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": await self._pieces.get(), "more_body": True}


async def _unsent(_: Any) -> None:
    raise AssertionError


async def _reads(scope: Scope, receive: Receive, _: Send) -> None:
    while True:
        scope["sender"].read += len((await receive())["body"])


@pytest.mark.parametrize(
    ("most", "piece", "count"),
    [
        (2 * MEGABYTE, 2 * MEGABYTE, 6),  # three quarters of eight, for large ones
        (2 * MEGABYTE, MEGABYTE, 16),  # all, for small ones
        (1000, 1000, 8),
    ],
)
def test_there_is_room_for_so_many_and_again_when_one_is_gone(most: int, piece: int, count: int) -> None:
    async def run() -> None:
        room = BodyRoom(_reads, most)
        senders = [Sender(room) for _ in range(count)]
        for sender in senders:
            await sender.send(piece)
        assert [sender.read for sender in senders] == [piece] * count
        for _ in range(3):  # what is refused takes no room
            one_more = Sender(room)
            await one_more.send(piece)
            with pytest.raises(QueueFullError, match="max_body_bytes"):
                await one_more.task
        senders[0].task.cancel()  # its connection was closed
        await asyncio.gather(senders[0].task, return_exceptions=True)
        instead = Sender(room)
        await instead.send(piece)
        assert instead.read == piece
        assert not any(sender.task.done() for sender in (*senders[1:], instead))
        for sender in (*senders, instead):
            sender.task.cancel()

    asyncio.run(run())


def test_small_bodies_are_let_in_while_large_ones_are_held() -> None:
    async def run() -> None:
        room = BodyRoom(_reads, 2 * MEGABYTE)
        senders = [Sender(room) for _ in range(6)]
        for sender in senders:
            await sender.send(2 * MEGABYTE)
        small = Sender(room)
        await small.send(MEGABYTE // 2)
        assert small.read == MEGABYTE // 2
        await small.send(MEGABYTE)  # it has become a large one
        with pytest.raises(QueueFullError):
            await small.task
        for sender in senders:
            sender.task.cancel()

    asyncio.run(run())


def test_a_call_that_finds_no_room_is_told_when_to_come_again(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serve().client
    assert client.post("/v1/code", json={"text": "HTN"}).status_code == 200
    monkeypatch.setattr("fhir_coder.service.body._MOST_HELD", 0)
    full = serve().client
    for path in ("/v1/code", "/fhir/$code-note", "/hl7v2", "/fhir/ValueSet/$expand"):
        answer = full.post(path, content=b"{}")
        assert answer.status_code == 503, path
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["issue"][0]["code"] == "throttled"
    assert full.get("/health/live").status_code == 200
