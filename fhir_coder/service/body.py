"""The bodies of requests: of a known type, and never more than the limit in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from email.message import Message

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from fhir_coder.errors import InputError

JSON_TYPES = ("application/fhir+json", "application/json", "text/json")
HL7_TYPES = ("application/hl7-v2", "application/hl7-v2+er7", "x-application/hl7-v2+er7", "text/plain")


_CLOSE = {"Connection": "close"}
_SECONDS = 60.0  # that a sender may be silent for in the middle of a body
_CHARSETS = ("utf-8", "utf8")
_VERSIONS = ("4.0", "4.0.1")


async def read_body(request: Request, limit: int, types: Collection[str]) -> bytes:
    """Return the body of a request.

    Raises `HTTPException` 415 when the stated content type is none of `types` (none stated is taken for right), its
    charset is not that of JSON or the body is compressed, 408 when the sender falls silent, and `InputError` as soon
    as more than `limit` bytes are announced or come in.
    """
    _require_type(request, types)
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limit:
        raise _too_long(limit)
    body, chunks = bytearray(), aiter(request.stream())
    while True:
        try:
            body += await asyncio.wait_for(anext(chunks), _SECONDS)
        except StopAsyncIteration:
            return bytes(body)
        except TimeoutError:
            raise HTTPException(408, "the rest of the body did not come; send it again", _CLOSE) from None
        except ClientDisconnect:
            raise HTTPException(400, "the body is incomplete", _CLOSE) from None
        if len(body) > limit:
            raise _too_long(limit)


def _require_type(request: Request, types: Collection[str]) -> None:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "bodies are read uncompressed only", {"Accept-Encoding": "identity"})
    stated = Message()
    stated["content-type"] = request.headers.get("content-type", "")
    if not stated["content-type"]:
        return
    name = str(stated["content-type"]).partition(";")[0].strip().lower()
    if name not in types:
        raise HTTPException(415, f"this content type is not read here; send {' or '.join(types)}")
    if name in JSON_TYPES and str(stated.get_param("charset", "utf-8")).lower() not in _CHARSETS:
        raise HTTPException(415, "JSON is in UTF-8 (RFC 8259); send it so, or leave the charset out")
    if str(stated.get_param("fhirversion", _VERSIONS[0])) not in _VERSIONS:
        raise HTTPException(415, "FHIR is read in version R4; send fhirVersion=4.0")


def _too_long(limit: int) -> InputError:
    return InputError(
        f"the body is longer than the setting max_body_bytes ({limit}) allows; split it or raise the setting",
        code="too-long",
    )
