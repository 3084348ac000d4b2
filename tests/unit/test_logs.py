"""What is logged, and what is not: no message of a library, no text of an exception."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import loguru
import pytest
import structlog

from fhir_coder.logs import configure, correlated, correlation
from fhir_coder.settings import Settings

CANARY = "Zebrafinch"


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a configured process logs; everything is put back afterwards."""
    root, own = logging.getLogger(), logging.getLogger("fhir_coder")
    before = (root.handlers[:], root.level, own.level, logging.raiseExceptions)
    for place, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(place, name, getattr(place, name))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    target = io.StringIO()
    root.handlers = []  # pytest's own, which `force` would close
    configure(Settings.load(), target)
    yield target
    structlog.reset_defaults()
    loguru.logger.remove()
    root.handlers, root.level, own.level, logging.raiseExceptions = before[0], before[1], before[2], before[3]


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_of_ours(stream: io.StringIO) -> None:
    with correlated("inbox-17"):
        structlog.stdlib.get_logger("fhir_coder.delivery").info("coded", resources=3)
        logging.getLogger("fhir_coder.worker").warning("item %d is tried again", 17)
    one, other = events(stream)
    assert one["event"] == "coded"
    assert one["resources"] == 3
    assert (one["level"], one["logger"]) == ("info", "fhir_coder.delivery")
    assert one["timestamp"].endswith("Z")
    assert other["event"] == "item 17 is tried again"
    assert {one["correlation"], other["correlation"]} == {"inbox-17"}
    assert correlation() is None


def test_the_name_goes_along_into_threads(stream: io.StringIO) -> None:
    async def both() -> tuple[str, str | None]:
        with correlated() as name:
            return name, await asyncio.to_thread(correlation)

    name, in_thread = asyncio.run(both())
    assert name == in_thread


def test_a_library_is_told_by_its_place(stream: io.StringIO) -> None:
    logging.getLogger("httpx2").warning("GET https://server/Patient?name=%s", CANARY)
    logging.getLogger("httpx2").info("GET https://server/Patient?name=%s", CANARY)
    loguru.logger.warning(f"token {CANARY}")
    (first, second) = events(stream)
    assert first["logger"] == "httpx2"
    assert first["at"].startswith("test_logs:")
    assert second["level"] == "warning"
    assert CANARY not in stream.getvalue()


def test_an_exception_is_told_by_its_kind_and_place(stream: io.StringIO) -> None:
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("sqlalchemy.pool").exception(CANARY)
        logging.getLogger("fhir_coder.x").exception("it failed")
        structlog.stdlib.get_logger("fhir_coder.x").exception("it failed")
    for event in events(stream):
        assert event["error"] == "ValueError"
        assert event["frames"][-1].startswith("test_logs.py:")
    assert len(events(stream)) == 3
    assert CANARY not in stream.getvalue()


def test_what_nobody_caught(stream: io.StringIO) -> None:
    def fail() -> None:
        raise ValueError(CANARY)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    try:
        fail()
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    assert [event["error"] for event in events(stream)] == ["ValueError", "ValueError"]
    assert CANARY not in stream.getvalue()


def test_a_task_whose_exception_nobody_asked_for(stream: io.StringIO) -> None:
    async def fail() -> None:
        raise ValueError(CANARY)

    async def forget() -> None:
        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        del task

    asyncio.run(forget())
    assert [event["logger"] for event in events(stream)] == ["asyncio"]
    assert CANARY not in stream.getvalue()


def test_warnings(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        configure(Settings.load(), stream)
        warnings.warn(CANARY, stacklevel=1)
    assert events(stream)[-1]["kind"] == "UserWarning"
    assert CANARY not in stream.getvalue()


def test_a_record_that_cannot_be_formatted_is_not_printed(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("fhir_coder.x").warning("%d", CANARY)
    assert CANARY not in stream.getvalue() + "".join(capsys.readouterr())


def test_for_people(stream: io.StringIO) -> None:
    configure(Settings.load(log_format="console", log_level="warning"), stream)
    structlog.stdlib.get_logger("fhir_coder.x").info("not shown")
    structlog.stdlib.get_logger("fhir_coder.x").warning("shown", count=1)
    assert "shown" in stream.getvalue()
    assert "count=1" in stream.getvalue()
    assert "not shown" not in stream.getvalue()
    assert "\x1b" not in stream.getvalue()  # colours only where a terminal shows them


def test_a_process_that_ends_with_an_error_tells_no_text() -> None:
    script = (
        "from fhir_coder.logs import configure; from fhir_coder.settings import Settings\n"
        f"configure(Settings.load())\nraise ValueError('{CANARY}')"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert json.loads(ended.stderr)["error"] == "ValueError"
    assert CANARY not in ended.stderr
