"""A DocumentReference read from the configured FHIR server, for `$code-note` on the instance level.

Source: https://hl7.org/fhir/R4/http.html#read
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import httpx2

from fhir_coder.credentials.server_access import server_access
from fhir_coder.errors import DeliveryError, InputError, TransientDeliveryError
from fhir_coder.ingest.json_input import parse_json
from fhir_coder.settings import Settings

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def read_document(identifier: str, settings: Settings, request: str = "") -> dict[str, Any]:
    """Return the DocumentReference of that id on `settings.server`; `request` is sent as X-Request-Id.

    The environment's proxies are ignored and redirects are not followed: only the configured server is asked.

    Raises `InputError` when the id is none or unknown there, `DeliveryError` when the server refuses, and
    `TransientDeliveryError` when it cannot be reached or is busy.
    """
    # The two names of folders would be ids by that pattern, and paths of another kind in a URL.
    if not _ID.fullmatch(identifier) or identifier in (".", ".."):
        raise InputError("this is not a FHIR id", place="DocumentReference.id", code="value")
    url = f"{str(settings.server).rstrip('/')}/DocumentReference/{identifier}"
    body = bytearray()
    headers = {"Accept": "application/fhir+json"} | ({"X-Request-Id": request} if request else {})
    access = server_access(settings)
    options: dict[str, Any] = {"auth": access.auth, "verify": access.verify, "timeout": settings.delivery_timeout}
    try:
        with (
            httpx2.Client(trust_env=False, follow_redirects=False, **options) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            _require_success(response.status_code)
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > settings.max_body_bytes:
                    break  # parse_json refuses what is too long
    except (httpx2.TransportError, httpx2.DecodingError) as error:
        raise TransientDeliveryError(f"the FHIR server cannot be reached ({type(error).__name__})") from error
    return parse_json(bytes(body), settings)


def _require_success(status: int) -> None:
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        raise InputError("the FHIR server has no such document", place="DocumentReference.id", code="not-found")
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise TransientDeliveryError(f"the FHIR server answered {status}; try again later")
    if status == HTTPStatus.UNAUTHORIZED:
        raise TransientDeliveryError("the FHIR server wants other credentials; check the setting server_auth")
    if status != HTTPStatus.OK:
        raise DeliveryError(f"the FHIR server answered {status} to reading the document")
