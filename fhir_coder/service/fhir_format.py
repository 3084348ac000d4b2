"""The form of FHIR answers: which of the JSON types, indented or not, and whether the caller has it already.

Source: https://hl7.org/fhir/R4/http.html#mime-type, #parameters and #cread. XML is not offered: what writes FHIR XML
in Python changes values on the way (7.20 becomes 7.2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fhir_coder.service.body import JSON_TYPES
from fhir_coder.service.outcome import operation_outcome

_FHIR = JSON_TYPES[0]
_RANGES = {"*/*": _FHIR, "application/*": _FHIR, "text/*": "text/json", **{name: name for name in JSON_TYPES}}
_FORMATS = {"json": _FHIR, **{name: name for name in JSON_TYPES}}
_VERSIONS = ("4.0", "4.0.1")
_ROOT = "/fhir/"


class FhirFormat:
    """Gives the answers below /fhir the form that the caller asks for, or answers 406."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or whatever else the server says."""
        if scope["type"] != "http" or not scope["path"].startswith(_ROOT):
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        formats = request.query_params.getlist("_format")
        media_type = wanted_type(request.headers.getlist("accept"), formats)
        if media_type is None:
            place = "_format" if formats else ""
            outcome = operation_outcome("not-supported", "answers are in JSON only; take application/fhir+json", place)
            await Response(orjson.dumps(outcome), 406, media_type=_FHIR)(scope, receive, send)
            return
        pretty = request.query_params.getlist("_pretty")
        if pretty not in ([], ["true"], ["false"]):
            outcome = operation_outcome("value", "_pretty is true or false, and given once", "_pretty")
            await Response(orjson.dumps(outcome), 400, media_type=_FHIR)(scope, receive, send)
            return
        known = request.headers.get("if-none-match") if request.method == "GET" else None
        await self._app(scope, receive, _Rendered(send, media_type, pretty == ["true"], known, request.method == "GET"))


class _Rendered:
    """Sends an answer in its form. Answers are whole in memory, and few send more than one part."""

    def __init__(self, send: Send, media_type: str, pretty: bool, known: str | None, has_tag: bool) -> None:
        self._send = send
        self._media_type = media_type
        self._pretty = pretty
        self._known = known
        self._has_tag = has_tag
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and Headers(scope=message).get("content-type") == _FHIR:
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self._start)

    async def _finish(self, start: Message) -> None:
        body = orjson.dumps(orjson.loads(self._body), option=orjson.OPT_INDENT_2) if self._pretty else bytes(self._body)
        headers = MutableHeaders(scope=start)
        headers["content-type"] = self._media_type
        headers["vary"] = "Accept"
        if start["status"] == 200 and self._has_tag:
            tag = f'W/"{hashlib.sha256(body).hexdigest()[:16]}"'
            headers["etag"] = tag
            if self._known is not None and tag in map(str.strip, self._known.split(",")):
                start["status"], body = 304, b""
                del headers["content-type"], headers["content-length"]
        if start["status"] != 304:
            headers["content-length"] = str(len(body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


def wanted_type(accepted: Iterable[str], formats: Iterable[str]) -> str | None:
    """Return the media type to answer with, or None when the caller takes none of ours. `_format` goes first."""
    for value in formats:
        # A plus that was not escaped arrives as a space.
        return _FORMATS.get(value.partition(";")[0].strip().replace(" ", "+").lower())
    ranges = [part for value in accepted for part in value.split(",") if part.strip()]
    if not ranges:
        return _FHIR
    found = [(quality, media_type) for quality, media_type in map(_weighed, ranges) if quality > 0 and media_type]
    return max(found, key=lambda each: (each[0], each[1] == _FHIR))[1] if found else None


def _weighed(media_range: str) -> tuple[float, str | None]:
    """The quality of a media range of Accept, and which type of ours it takes. Source: RFC 9110, 12.5.1"""
    name, *parameters = (part.strip().lower() for part in media_range.split(";"))
    stated = dict(parameter.partition("=")[::2] for parameter in parameters)
    if stated.get("fhirversion", _VERSIONS[0]).strip('"') not in _VERSIONS:
        return 0.0, None
    try:
        quality = float(stated.get("q", "1"))
    except ValueError:
        quality = 0.0
    return (quality if 0 <= quality <= 1 else 0.0), _RANGES.get(name)
