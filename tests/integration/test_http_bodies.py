"""Bodies that many senders hold half-sent, over real connections: the sum is bounded, and small notes go on."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.integration.adapter import prepared_data
from tests.integration.http_service import http_service

MOST = 2_000_000  # bytes of one body
LARGE = b"{" + b" " * 1_500_000  # no JSON: it is refused where it is read
SECONDS = 60


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_data(tmp_path_factory.mktemp("service") / "data")


def half_sent(place: tuple[str, int]) -> socket.socket:
    """Begin a body and leave it at that."""
    connection = socket.create_connection(place, 10)
    head = f"POST /v1/code HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {MOST}\r\n\r\n"
    connection.sendall(head.encode() + b" " * (MOST - 100_000))
    return connection


def wait_for(url: str, status: int) -> httpx2.Response:
    """Send a large body until it is answered so."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        answer = httpx2.post(f"{url}/v1/code", content=LARGE, timeout=SECONDS, trust_env=False)
        if answer.status_code == status:
            return answer
        time.sleep(0.1)
    raise AssertionError(answer.status_code)


def test_bodies_that_are_held_half_sent(data: Path) -> None:
    with http_service(data, max_body_bytes=MOST) as url:
        place = (str(urlsplit(url).hostname), urlsplit(url).port or 0)
        assert wait_for(url, 400)
        held = [half_sent(place) for _ in range(6)]
        refused = wait_for(url, 503)
        assert int(refused.headers["retry-after"]) > 0
        assert refused.json()["issue"][0]["code"] == "throttled"
        small = httpx2.post(f"{url}/v1/code", json={"text": "HTN"}, timeout=SECONDS, trust_env=False)
        assert small.status_code == 200
        assert wait_for(url, 503)
        for connection in held:
            connection.close()
        assert wait_for(url, 400)
