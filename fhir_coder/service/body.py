"""The bodies of requests: of a known type, and never more in memory than the limits of one and of all allow."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from email.message import Message

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as Event

from fhir_coder.errors import InputError, QueueFullError

JSON_TYPES = ("application/fhir+json", "application/json", "text/json")
HL7_TYPES = ("application/hl7-v2", "application/hl7-v2+er7", "x-application/hl7-v2+er7", "text/plain")


_CLOSE = {"Connection": "close"}
_MOST_HELD = 8  # bodies of the largest size that are in memory at one time, as the sum of all
_MEGABYTE = 1_000_000
_FOR_LARGE = 0.75  # of the room: a few large bodies must not keep out the small ones that most are
_SECONDS = 60.0  # that a sender may be silent for in the middle of a body
_CHARSETS = ("utf-8", "utf8")
_VERSIONS = ("4.0", "4.0.1")


class BodyRoom:
    """Bounds the sum of all bodies: those that are being read, and those of requests that are not answered yet."""

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        """`most_bytes` is that of one body (setting `max_body_bytes`)."""
        self._app = app
        self._most = most_bytes
        self._room = _MOST_HELD * most_bytes
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or whatever else the server says.

        To whoever reads the body, `QueueFullError` is raised as soon as there is no room for more of it.
        """
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        own = 0

        async def counted() -> Event:
            nonlocal own
            event = await receive()
            size = len(event.get("body", b""))
            own += size
            self._held += size
            self._require_room(own)
            return event

        try:
            await self._app(scope, counted, send)
        finally:
            self._held -= own

    def _require_room(self, own: int) -> None:
        if own > self._most:
            return  # whoever reads it refuses it as too long, whether there is room or not
        if self._held > (self._room if own <= _MEGABYTE else self._room * _FOR_LARGE):
            raise QueueFullError(
                f"the bodies that are sent at this moment are more than {_MOST_HELD} of the setting max_body_bytes "
                "together; send this one again later"
            )


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
