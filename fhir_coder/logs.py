"""Logs: one JSON object on each line of stderr, or readable lines, and never a word of a note.

Events of this package hold none by contract. What a library says cannot be vouched for: its message may quote what it
was given (asyncio repeats the exception of a task, httpx2 a URL with its query), so of a library's record the place in
its source is told, and the message only where it is known to be harmless. Of an exception the kind and the frames are
told, never its message.
"""

from __future__ import annotations

import logging
import secrets
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from logging import LogRecord
from pathlib import Path
from traceback import extract_tb
from types import TracebackType
from typing import Any, TextIO

import structlog
from loguru import logger as loguru_logger
from structlog.typing import Processor

from fhir_coder.settings import Settings

_OWN = "fhir_coder"
# Whose messages are made of words of their own, addresses and revisions.
_HARMLESS = ("uvicorn.error", "alembic.runtime.migration")
_FRAMES = 8  # the innermost ones of an exception
_CORRELATION_BYTES = 8


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """Send everything that is logged in this process to `stream` (stderr), in the form that the settings name."""
    target = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_exception_text,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_guarded, *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(settings, target)],
    )
    logging.raiseExceptions = False  # it would print a record that cannot be formatted, with its arguments
    handler = logging.StreamHandler(target)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger(_OWN).setLevel(settings.log_level.upper())
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    loguru_logger.remove()
    loguru_logger.add(_from_loguru, level="WARNING", format="{message}")
    _take_over_hooks()


@contextmanager
def correlated(identifier: str | None = None) -> Iterator[str]:
    """Name what is in hand in every event inside, also in threads that anyio starts from here.

    `identifier` is an id of our own ("inbox-17"), a random one by default; never a name or number that came in.
    """
    name = identifier or secrets.token_hex(_CORRELATION_BYTES)
    with structlog.contextvars.bound_contextvars(correlation=name):
        yield name


def correlation() -> str | None:
    """Return by which name what is in hand is known, where it is."""
    found = structlog.contextvars.get_contextvars().get("correlation")
    return found if isinstance(found, str) else None


def describe(error: BaseException, trace: TracebackType | None = None) -> Mapping[str, Any]:
    """Return what may be told of an exception: its kind and where it was raised, outermost frame first."""
    frames = extract_tb(trace or error.__traceback__)[-_FRAMES:]
    places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    return {"error": type(error).__name__, "frames": places}


def in_short(error: BaseException) -> str:
    """Return the kind of an exception and where it was raised: "KeyError (deliver.py:81)"."""
    frames = extract_tb(error.__traceback__)
    own = [frame for frame in frames if f"/{_OWN}/" in frame.filename] or frames
    place = f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
    return f"{type(error).__name__}{place}"


def _guarded(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Keep of a record that did not come from structlog what can be vouched for."""
    record: LogRecord = event["_record"]
    if record.name == _OWN or record.name.startswith(f"{_OWN}.") or record.name in _HARMLESS:
        return event
    event["event"] = "a library's message, not shown"
    event["at"] = f"{record.module}:{record.lineno} {record.funcName}"
    return event


def _without_exception_text(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    record = event.get("_record")
    given = event.pop("exc_info", None) or (record.exc_info if record is not None else None)
    if given is True:
        given = sys.exc_info()
    error = given if isinstance(given, BaseException) else given[1] if isinstance(given, tuple) else None
    if error is not None:
        event.update(describe(error))
    if record is not None:
        record.exc_info = record.exc_text = record.stack_info = None
    event.pop("stack_info", None)
    return event


def _renderer(settings: Settings, stream: TextIO) -> Processor:
    if settings.log_format == "console":
        return structlog.dev.ConsoleRenderer(colors=stream.isatty())
    return structlog.processors.JSONRenderer()


def _from_loguru(message: Any) -> None:
    """Pass a record of loguru on, without its message: it is a library's."""
    given = message.record
    record = LogRecord(
        given["name"] or "loguru", given["level"].no, given["file"].path, given["line"], "", (), None, given["function"]
    )
    logging.getLogger(record.name).handle(record)


def _take_over_hooks() -> None:
    """Tell of what nobody caught as of everything else: Python would print its message."""
    log = structlog.stdlib.get_logger(_OWN)

    def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        log.critical("an error that nobody foresaw", **describe(error, trace))

    def uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and args.exc_type is not SystemExit:
            uncaught(args.exc_type, args.exc_value, args.exc_traceback)

    def unraisable(args: sys.UnraisableHookArgs) -> None:
        if args.exc_value is not None:
            uncaught(args.exc_type, args.exc_value, args.exc_traceback)

    def warned(
        message: Warning | str,  # noqa: ARG001 - it may quote what a library was given
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,  # noqa: ARG001
        line: str | None = None,  # noqa: ARG001
    ) -> None:
        log.warning("a warning of Python", kind=category.__name__, at=f"{Path(filename).name}:{lineno}")

    sys.excepthook = uncaught
    threading.excepthook = uncaught_in_thread
    sys.unraisablehook = unraisable
    warnings.showwarning = warned
