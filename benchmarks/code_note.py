"""Measure how long a caller waits for $code-note on a note of 3,000 characters.

Run: .venv/bin/python benchmarks/code_note.py [--notes 40] [--url URL]. Starts the service with the settings of the
environment, or asks the one at URL. Notes are those of benchmarks/notes.py; each is sent once, after others have warmed
the service up. Prints the 50th and 95th percentile alone, with 16 callers at once, and through `Prefer: respond-async`
(from the call to the answer in hand, polled every 50 ms), and the notes per second.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent))
from notes import notes

CALLERS = 16
WARM_UP = 5
POLL_SECONDS = 0.05
_READY = re.compile(r"ready: (https?://\S+)")

Call = Callable[[httpx2.Client, str], None]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--notes", type=int, default=40, help="notes for each row")
    parser.add_argument("--url", help="a service that runs; none: one is started")
    given = parser.parse_args()
    source, first, second = notes()
    texts = iter([*second, *first])
    table = Table(title=f"$code-note, notes of 3,000 characters ({source}), {given.notes} for each row")
    for name in ("way", "P50 ms", "P95 ms", "notes/s"):
        table.add_column(name, justify="left" if name == "way" else "right")
    with (
        started() if given.url is None else _there(given.url) as url,
        httpx2.Client(base_url=url, timeout=600) as client,
    ):
        for text in _some(texts, WARM_UP):
            at_once(client, text)
        for name, call, callers in (
            ("one caller", at_once, 1),
            (f"{CALLERS} callers at once", at_once, CALLERS),
            ("asynchronous, one caller", later, 1),
            (f"asynchronous, {CALLERS} callers at once", later, CALLERS),
        ):
            table.add_row(name, *_figures(client, call, _some(texts, given.notes), callers))
    Console().print(table)


def at_once(client: httpx2.Client, text: str) -> None:
    """Call and wait for the Bundle."""
    response = client.post("/fhir/$code-note", json=_parameters(text))
    response.raise_for_status()


def later(client: httpx2.Client, text: str) -> None:
    """Call, poll until the Bundle is there, and delete it."""
    accepted = client.post("/fhir/$code-note", json=_parameters(text), headers={"Prefer": "respond-async"})
    accepted.raise_for_status()
    job = accepted.headers["content-location"]
    while (answer := client.get(job)).status_code == 202:
        time.sleep(POLL_SECONDS)
    answer.raise_for_status()
    client.delete(job).raise_for_status()


@contextmanager
def started() -> Iterator[str]:
    """A service of our own, with the concept store of this machine and a database that is thrown away."""
    prepare = [sys.executable, "-m", "fhir_coder", "terminology", "prepare"]
    prepared = subprocess.run(prepare, stdout=subprocess.PIPE, text=True, check=True)
    with TemporaryDirectory() as folder:
        terminology = Path(prepared.stdout.strip().replace("\n", ""))
        (Path(folder) / terminology.name).symlink_to(terminology)
        command = [sys.executable, "-m", "fhir_coder", "serve", "--port", "0"]
        environment = {**os.environ, "FHIR_CODER_DATA_DIR": folder, "FHIR_CODER_MLLP": "off"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None  # noqa: S101 - told to the type checker
            found = _READY.match(process.stdout.readline())
            if found is None:
                raise SystemExit("the service did not start")
            try:
                yield found[1]
            finally:
                process.terminate()


@contextmanager
def _there(url: str) -> Iterator[str]:
    yield url


def _some(texts: Iterator[str], number: int) -> list[str]:
    found = [text for text, _ in zip(texts, range(number), strict=False)]
    if len(found) < number:
        raise SystemExit("there are not so many notes; ask for fewer (--notes)")
    return found


def _figures(client: httpx2.Client, call: Call, texts: Sequence[str], callers: int) -> list[str]:
    """The percentiles in milliseconds, and notes per second."""

    def timed(text: str) -> float:
        begun = time.perf_counter()
        call(client, text)
        return time.perf_counter() - begun

    begun = time.perf_counter()
    with ThreadPoolExecutor(callers) as pool:
        seconds = list(pool.map(timed, texts))
    whole = time.perf_counter() - begun
    cuts = quantiles(seconds, n=20, method="inclusive")
    return [f"{cuts[9] * 1000:.0f}", f"{cuts[18] * 1000:.0f}", f"{len(texts) / whole:.1f}"]


def _parameters(text: str) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": "text", "valueString": text}]}


if __name__ == "__main__":
    main()
