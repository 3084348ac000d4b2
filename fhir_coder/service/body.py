"""The bodies of requests: of a known type, and never more than the limit in memory."""

from __future__ import annotations

from collections.abc import Collection

from fastapi import Request
from starlette.exceptions import HTTPException

from fhir_coder.errors import InputError

JSON_TYPES = ("application/fhir+json", "application/json", "text/json")
HL7_TYPES = ("application/hl7-v2", "application/hl7-v2+er7", "x-application/hl7-v2+er7", "text/plain")


async def read_body(request: Request, limit: int, types: Collection[str]) -> bytes:
    """Return the body of a request.

    Raises `HTTPException` 415 when the stated content type is none of `types` (none stated is taken for right), and
    `InputError` as soon as more than `limit` bytes are announced or come in.
    """
    stated = request.headers.get("content-type", "").split(";", maxsplit=1)[0].strip().lower()
    if stated and stated not in types:
        raise HTTPException(415, f"this content type is not read here; send {' or '.join(types)}")
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limit:
        raise _too_long(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_long(limit)
    return bytes(body)


def _too_long(limit: int) -> InputError:
    return InputError(
        f"the body is longer than the setting max_body_bytes ({limit}) allows; split it or raise the setting",
        code="too-long",
    )
