"""Fixtures that load what is slow once for all tests, and a command line switch for the golden files."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from fhir_coder.model import CodedNote, Entity, Note
from fhir_coder.pipeline import Coder
from fhir_coder.settings import Settings
from fhir_coder.terminology.store import ConceptStore

_KEPT = {"FHIR_CODER_CRASH_ROUNDS", "FHIR_CODER_DATA_DIR", "FHIR_CODER_PYOCE", "FHIR_CODER_REFERENCES"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--rewrite-golden`: write the golden Bundles anew instead of comparing with them."""
    parser.addoption("--rewrite-golden", action="store_true", help="write tests/golden/notes/*.bundle.json anew")


def pytest_configure(config: pytest.Config) -> None:
    """Clear the settings of whoever runs the tests: they must not change results."""
    for name in [name for name in os.environ if name.startswith("FHIR_CODER_") and name not in _KEPT]:
        del os.environ[name]


@pytest.fixture(scope="session")
def coder() -> Iterator[Coder]:
    """A coder without the dense stage."""
    loaded = Coder.from_settings(Settings.load(encoder="none"))
    yield loaded
    loaded.store.close()


@pytest.fixture(scope="session")
def dictionary_coder() -> Iterator[Coder]:
    """A coder without models: what the dictionary, the rules and the tables do."""
    loaded = Coder.from_settings(Settings.load(encoder="none", recogniser="none"))
    yield loaded
    loaded.store.close()


@pytest.fixture(scope="session")
def store(coder: Coder) -> ConceptStore:
    """The concept store."""
    return coder.store


@pytest.fixture(scope="session")
def full_coder() -> Iterator[Coder]:
    """A coder with the default settings: the encoder takes seconds to load, and minutes to prepare once."""
    loaded = Coder.from_settings(Settings.load())
    yield loaded
    loaded.store.close()


class Read:
    """Codes short texts, for tests that ask what is said of one entity."""

    def __init__(self, coder: Coder) -> None:
        self._coder = coder

    def note(self, text: str) -> CodedNote:
        """Return a coded text."""
        return self._coder(Note(text=text))

    def texts(self, text: str) -> list[str]:
        """Return the words of each entity."""
        return [entity.text for entity in self.note(text).entities]

    def one(self, text: str, words: str) -> Entity:
        """Return the first entity with these words."""
        found = self.note(text).entities
        matching = [entity for entity in found if entity.text == words]
        assert matching, f"{words!r} is none of {[entity.text for entity in found]}"
        return matching[0]


@pytest.fixture(scope="session")
def read(coder: Coder) -> Read:
    """Code short texts."""
    return Read(coder)
