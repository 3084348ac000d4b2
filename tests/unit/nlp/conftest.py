"""The language stages without the trained recogniser: what these tests ask is what the dictionary and the rules say."""

from __future__ import annotations

import pytest

from fhir_coder.pipeline import Coder


@pytest.fixture(scope="session")
def coder(dictionary_coder: Coder) -> Coder:
    return dictionary_coder
