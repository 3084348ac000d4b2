"""The language stages without the trained recogniser: what these tests ask is what the dictionary and the rules say."""

from __future__ import annotations

import pytest

from fhir_coder.pipeline import Coder
from tests.conftest import Read


@pytest.fixture(scope="session")
def coder(dictionary_coder: Coder) -> Coder:
    """The dictionary and the rules."""
    return dictionary_coder


@pytest.fixture(scope="session")
def read(dictionary_coder: Coder) -> Read:
    """Code short texts, the same way: of a fixture that is shared, what it asks for cannot be another one here."""
    return Read(dictionary_coder)
