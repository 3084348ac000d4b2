"""What a caller prefers (`Prefer`), as far as there is a choice: whether to wait for the answer.

Source: RFC 7240, https://hl7.org/fhir/R4/async.html
"""

from __future__ import annotations

from starlette.requests import Request


def prefers_async(request: Request) -> bool:
    """Return whether the request says `Prefer: respond-async`; other preferences (`return=...`) change nothing here."""
    listed = ",".join(request.headers.getlist("prefer")).split(",")
    return any(preference.partition(";")[0].strip().lower() == "respond-async" for preference in listed)
