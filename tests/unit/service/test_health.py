"""Readiness: what is at fault is told, and whether anything can be sent here nevertheless."""

from __future__ import annotations

import errno
import json
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from fhir_coder.errors import QueueFullError
from fhir_coder.service import health
from fhir_coder.service.health import Health

CANARY = "Zebrafinch"
Usage = namedtuple("Usage", "total used free")


def report(service: Any, *, alive: bool = True, away: bool = False) -> tuple[int, dict[str, Any]]:
    workers = SimpleNamespace(alive=alive, server_away=away)
    return Health(service.desk, service.inbox, workers).report()  # type: ignore[arg-type]


def test_all_is_well(serve: Any) -> None:
    status, told = report(serve(server="http://127.0.0.1:9/fhir"))
    assert (status, told["status"]) == (200, "ready")
    assert set(told["checks"]) == {"terminology", "database", "disk", "inbox", "workers", "FHIR server"}


def test_a_server_that_is_away_is_no_reason_to_send_nothing(serve: Any) -> None:
    status, told = report(serve(server="http://127.0.0.1:9/fhir"), away=True)
    assert (status, told["status"]) == (200, "degraded")
    assert "wait in the outbox" in told["checks"]["FHIR server"]["detail"]


def test_a_worker_that_has_ended(serve: Any) -> None:
    status, told = report(serve(), alive=False)
    assert (status, told["status"]) == (503, "not ready")
    assert "restart" in told["checks"]["workers"]["detail"]


@pytest.mark.parametrize(("free", "status", "state"), [(1, 503, "not ready"), (700_000_000, 200, "degraded")])
def test_a_full_disk(serve: Any, monkeypatch: pytest.MonkeyPatch, free: int, status: int, state: str) -> None:
    monkeypatch.setattr(health.shutil, "disk_usage", lambda _: Usage(10**12, 0, free))
    got, told = report(serve())
    assert (got, told["checks"]["disk"]["status"]) == (status, state)


def test_the_disk_is_that_of_the_database(serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = {tmp_path / "elsewhere": 1}
    monkeypatch.setattr(health.shutil, "disk_usage", lambda folder: Usage(10**12, 0, free.get(folder, 10**12)))
    service = serve(database=f"sqlite:///{tmp_path / 'elsewhere' / 'delivery.sqlite'}")
    (tmp_path / "elsewhere").mkdir()
    got, told = report(service)
    assert (got, told["checks"]["disk"]["status"]) == (503, "not ready")


def test_a_disk_that_takes_nothing_whatever_is_free(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quota, or a file system that is mounted read-only after a fault."""

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EDQUOT, CANARY)

    service = serve(queue_min_free_bytes=0)
    monkeypatch.setattr(health, "TemporaryFile", refused)
    status, told = report(service)
    assert (status, told["checks"]["disk"]["status"]) == (503, "not ready")
    assert "EDQUOT" in told["checks"]["disk"]["detail"]


def test_a_database_at_fault(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service = serve()

    class Broken:
        dialect: Any

        def begin(self) -> Any:
            raise OperationalError(CANARY, CANARY, Exception(CANARY))

        connect = begin

    broken = Broken()
    broken.dialect = SimpleNamespace(name="sqlite")
    inbox = SimpleNamespace(queue=SimpleNamespace(engine=broken))
    status, told = Health(service.desk, inbox, None).report()  # type: ignore[arg-type]
    assert (status, told["checks"]["database"]["status"]) == (503, "not ready")
    assert CANARY not in json.dumps(told)


def test_a_full_inbox(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service = serve()

    def full() -> None:
        raise QueueFullError("nothing more is taken in until what waits is done")

    monkeypatch.setattr(service.desk, "require_room", full)
    status, told = report(service)
    assert (status, told["checks"]["inbox"]["status"]) == (503, "not ready")


def test_a_store_that_cannot_be_read(serve: Any) -> None:
    service = serve()

    def broken(*_: object) -> None:
        raise ValueError(CANARY)

    service.coder.store = SimpleNamespace(concept=broken)
    status, told = report(service)
    assert (status, told["checks"]["terminology"]["status"]) == (503, "not ready")
    assert CANARY not in json.dumps(told)
