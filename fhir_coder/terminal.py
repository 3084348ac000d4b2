"""Print results to stdout and everything else to stderr."""

from __future__ import annotations

import sys
from typing import Any

import orjson
from rich.console import Console, RenderableType

_PIPE_WIDTH = 160  # a pipe has no width; rich would take 80 and cut the table


def print_table(table: RenderableType) -> None:
    """Print what rich can draw."""
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object on a line of its own."""
    sys.stdout.buffer.write(orjson.dumps(value) + b"\n")
    sys.stdout.buffer.flush()


def complain(message: str) -> None:
    """Print a message of the program to stderr."""
    Console(stderr=True, highlight=False).print(f"fhir-coder: {message}", markup=False, soft_wrap=True)
