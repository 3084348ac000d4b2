"""Fetching an attachment by its url: from the configured FHIR server or a listed one, and from nowhere else.

Whoever sends a document chooses its url, so the url must not make us call what only we can reach: a host is resolved
once, its address is checked, and the connection goes to that address; redirects are not followed, the environment's
proxies not used, and credentials sent to the configured FHIR server alone.

Source: https://hl7.org/fhir/R4/binary.html, https://cheatsheetseries.owasp.org (Server-Side Request Forgery Prevention)
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx2
import orjson

from fhir_coder.attachments.gzip import unzipped
from fhir_coder.credentials.origin import origin_of
from fhir_coder.credentials.server_access import ServerAccess, server_access
from fhir_coder.errors import DeliveryError, InputError, UnsupportedError
from fhir_coder.settings import Settings

_SCHEMES = ("http", "https")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_FHIR_JSON = ("application/fhir+json", "application/json")

_NOBODY = ServerAccess(auth=None, verify=True)
_BINARY = re.compile(r"Binary/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?")
ANYTHING = "*"

Permit = Callable[[str], None]
"""Is told what is to be read of the FHIR server with our credentials: "Binary", or `ANYTHING` for another url there.

It raises what stops the reading, where whoever sent the url may not read that themselves.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a url gave."""

    raw: bytes
    content_type: str | None


def fetch(url: str, accept: str, settings: Settings, *, place: str, permit: Permit | None = None) -> Fetched:
    """Return what the url gives: bytes of the accepted content type, or those that a Binary resource holds.

    A relative url ("Binary/7") is relative to `settings.server`, of which nothing is asked that `permit` forbids.

    Raises `UnsupportedError` when the url leads elsewhere than to the servers of the settings, and `InputError` when
    there is nothing there (not-found), it is refused, too large, or the server cannot be reached now (transient).
    """
    target, is_own_server = _target(url, settings, place, permit)
    address = _address(target, is_own_server, place)
    access = server_access(settings) if is_own_server else _NOBODY
    if not _is_of_the_api(target, settings):
        access = ServerAccess(auth=None, verify=access.verify)
    content_type, raw = _get(target, address, accept, settings, access, place)
    if content_type.split(";")[0].strip().lower() in _FHIR_JSON:
        return _of_json(raw, place)
    return Fetched(raw=raw, content_type=content_type or None)


def require_allowed(url: str, settings: Settings, *, place: str, permit: Permit | None = None) -> None:
    """Raise what `fetch` raises for a url that leads elsewhere than the settings allow, or where `permit` forbids it.

    Nothing is asked of anybody.
    """
    _target(url, settings, place, permit)


def of_binary(resource: Mapping[str, Any], *, place: str) -> Fetched:
    """Return what a Binary resource holds. Raises `InputError` when it holds nothing, or no base64."""
    data, content_type = resource.get("data"), resource.get("contentType")
    if not isinstance(data, str):
        raise InputError("the Binary has no data; send the attachment's data", place=place, code="required")
    try:
        raw = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InputError("the data of the Binary is not base64", place=place, code="value") from None
    return Fetched(raw=raw, content_type=content_type if isinstance(content_type, str) else None)


def _of_json(raw: bytes, place: str) -> Fetched:
    try:
        resource = orjson.loads(raw)
    except orjson.JSONDecodeError:
        resource = None
    if not isinstance(resource, dict) or resource.get("resourceType") != "Binary":
        raise InputError("the url gives JSON that is no Binary resource", place=place, code="structure")
    return of_binary(resource, place=place)


def _target(url: str, settings: Settings, place: str, permit: Permit | None) -> tuple[httpx2.URL, bool]:
    """Return the url as it is asked for, and whether it is on the configured server."""
    target = _absolute(url, settings, place)
    is_own_server = _allowed(target, settings, place)
    if is_own_server and permit is not None:
        permit(_resource(target, settings))
    return target, is_own_server


def _resource(url: httpx2.URL, settings: Settings) -> str:
    """Return "Binary" for a url that can give nothing but a Binary.

    The path is compared as it is sent: a query, or what is escaped, may make another resource of it (`?_format=xml`
    has a server tell a Patient as text).
    """
    base = httpx2.URL(str(settings.server)).raw_path.decode("ascii").rstrip("/")
    path = url.raw_path.decode("ascii")
    is_binary = path.startswith(f"{base}/") and _BINARY.fullmatch(path.removeprefix(f"{base}/"))
    return "Binary" if is_binary and not {"..", "."} & set(path.split("/")) else ANYTHING


def _absolute(url: str, settings: Settings, place: str) -> httpx2.URL:
    try:
        given = httpx2.URL(url)
        if given.is_absolute_url:
            return given
        if settings.server is not None and not given.scheme and not given.host:
            return httpx2.URL(f"{str(settings.server).rstrip('/')}/").join(given)
    except httpx2.InvalidURL:
        raise InputError("the url is not valid", place=place, code="value") from None
    raise UnsupportedError(
        "the url cannot be followed: it is relative, and no FHIR server is configured (setting server), or it is of "
        "another scheme than http and https; send the text in data",
        place=place,
    )


def _allowed(url: httpx2.URL, settings: Settings, place: str) -> bool:
    """Tell whether the url is on the configured server, whose address may be a private one.

    Origins are compared and not the beginnings of strings: https://fhir.example.org.evil.example begins well too.
    """
    if not url.userinfo and url.scheme in _SCHEMES:
        if settings.server is not None and origin_of(url) == origin_of(httpx2.URL(str(settings.server))):
            return True
        if any(origin_of(url) == origin_of(httpx2.URL(str(each))) for each in settings.attachment_origins):
            return False
    raise UnsupportedError(
        "the url is not on the configured FHIR server, and its server is not among the setting attachment_origins; "
        "it is not fetched. Send the text in data",
        place=place,
    )


def _is_of_the_api(url: httpx2.URL, settings: Settings) -> bool:
    """Tell whether the url is below the FHIR server's base: others on its origin are shown no credentials."""
    base = httpx2.URL(str(settings.server)).path.rstrip("/") if settings.server else ""
    return url.path.startswith(f"{base}/") and not {"..", "."} & set(url.path.split("/"))


def _address(url: httpx2.URL, is_own_server: bool, place: str) -> str:
    """Return the address to connect to; every address of the host must be one that may be called."""
    try:
        found = socket.getaddrinfo(url.host, origin_of(url)[2], type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise InputError("the host of the url has no address now", place=place, code="transient") from None
    addresses = [str(each[4][0]) for each in found]
    if not is_own_server and not all(map(_is_public, addresses)):
        raise UnsupportedError(
            "the url leads to an address inside this network; it is not fetched. Send the text in data", place=place
        )
    return addresses[0]


def _is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return _is_public(str(parsed.ipv4_mapped))
        # Addresses that lead into IPv4 by another way.
        if parsed.sixtofour is not None or parsed.teredo is not None or parsed in _NAT64:
            return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


def _get(
    url: httpx2.URL, address: str, accept: str, settings: Settings, access: ServerAccess, place: str
) -> tuple[str, bytes]:
    """Return the Content-Type and the body of the answer."""
    deadline = time.monotonic() + settings.attachment_seconds
    most = settings.max_body_bytes
    body = bytearray()
    headers = {
        "Host": url.netloc.decode("ascii"),
        "Accept": f"{accept}, application/fhir+json;q=0.8, */*;q=0.5",
        "Accept-Encoding": "identity",
    }
    options: dict[str, Any] = {"auth": access.auth, "verify": access.verify, "timeout": settings.delivery_timeout}
    try:
        with (
            httpx2.Client(trust_env=False, follow_redirects=False, **options) as client,
            client.stream(
                "GET", url.copy_with(host=address), headers=headers, extensions={"sni_hostname": url.host}
            ) as response,
        ):
            _require_success(response, place, has_credentials=access.auth is not None)
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > most:
                    raise InputError(
                        f"the attachment is larger than the setting max_body_bytes ({most}) allows",
                        place=place,
                        code="too-long",
                    )
                if time.monotonic() > deadline:
                    raise InputError("the server of the url is too slow", place=place, code="transient")
    except DeliveryError as error:  # no token is to be had
        raise InputError(str(error), place=place, code="transient") from None
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        raise InputError(
            f"the server of the url cannot be reached ({type(error).__name__}); send it again later",
            place=place,
            code="transient",
        ) from None
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding == "gzip":
        return response.headers.get("content-type", ""), unzipped(bytes(body), most, place=place)
    if encoding != "identity":
        raise UnsupportedError("the server of the url sends an encoding it was not asked for", place=place)
    return response.headers.get("content-type", ""), bytes(body)


def _require_success(response: httpx2.Response, place: str, *, has_credentials: bool) -> None:
    status = response.status_code
    if status == HTTPStatus.OK:
        return
    if response.is_redirect:
        raise UnsupportedError("the url redirects; redirects are not followed, give the final url", place=place)
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        raise InputError("there is nothing at the url", place=place, code="not-found")
    if status == HTTPStatus.UNAUTHORIZED and has_credentials:
        # Not this document is at fault: all would be set aside until the credentials are right.
        raise InputError("the server of the url wants other credentials", place=place, code="transient")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise InputError(f"the server of the url refuses it ({status})", place=place, code="forbidden")
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise InputError(f"the server of the url answered {status}; send it again later", place=place, code="transient")
    raise InputError(f"the server of the url answered {status}", place=place, code="value")
