"""Small releases of hand-written facts, and the time of the queues."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fhir_coder.terminology.importer import store as write
from fhir_coder.terminology.release import Fact, Import, Release, ReleaseKind
from fhir_coder.terminology.stored_release import StoredRelease
from tests.unit.clock import Clock

Make = Callable[..., StoredRelease]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of the queues, which stands still until the test moves it on."""
    return Clock(monkeypatch)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Write a release: make(SNOMED, "complete", fact, ...)."""
    made: list[StoredRelease] = []

    def write_one(system: str, kind: ReleaseKind, *facts: Fact, version: str = "1") -> StoredRelease:
        folder = tmp_path / f"release-{len(made)}"
        folder.mkdir()
        release = Release(system=system, version=version, title=f"{kind} of {system}", kind=kind)
        (stored,) = write(Import(releases=(release,), facts=((0, fact) for fact in facts)), folder, lambda *_: None)
        made.append(StoredRelease(stored.folder))
        return made[-1]

    yield write_one
    for release in made:
        release.close()
