"""By what a resource with a business identifier is searched for, and known within a Bundle: the same in every message.

Source: https://hl7.org/fhir/R4/search.html#escaping and #token
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5


# A sender names the same authorities, and the same patients and authors, again and again.
@lru_cache(maxsize=4096)
def search_token(system: str, value: str) -> str:
    """Return the identifier as the value of a search parameter, quoted for a URL."""
    return quote(f"{_escaped(system)}|{_escaped(value)}", safe=":/")


@lru_cache(maxsize=4096)
def identified_url(kind: str, system: str, value: str) -> str:
    """Return the `urn:uuid:` that follows from the identifier of a resource of type `kind`."""
    return f"urn:uuid:{uuid5(NAMESPACE_URL, f'{kind}|{_escaped(system)}|{_escaped(value)}')}"


def _escaped(value: str) -> str:
    return re.sub(r"([\\$,|])", r"\\\1", value)
