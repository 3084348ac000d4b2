"""Requests to the FHIR server that documents come from: https://hl7.org/fhir/R4/http.html.

Only that server is asked: urls that it names itself (the next page, the state of an export) are followed on its own
origin and nowhere else, redirects are not followed, and the environment's proxies and credentials are ignored.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import httpx2
import orjson

from fhir_coder.credentials.origin import origin_of
from fhir_coder.credentials.server_access import server_access
from fhir_coder.delivery.client import FHIR_JSON, refusal
from fhir_coder.errors import DeliveryError, TransientDeliveryError
from fhir_coder.settings import Settings

Json = Mapping[str, Any]

GONE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


class TooLongError(DeliveryError):
    """An answer has more bytes than the setting max_body_bytes allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server answered with 2xx, 404 or 410; every other status is an error."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)  # the names in lower case
    body: Json = field(default_factory=dict)  # empty when there is none

    @property
    def is_there(self) -> bool:
        """Whether the server has what was asked for."""
        return self.status not in GONE


class Upstream:
    """A FHIR R4 server. A context manager; may be used by several threads."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout: float = 30.0,
        max_bytes: int = 50_000_000,
        auth: httpx2.Auth | None = None,
        verify: ssl.SSLContext | bool = True,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """`timeout` is in seconds, `max_bytes` bounds an answer; `transport` lets tests stand in for the net."""
        self.base = base_url.rstrip("/")
        self._max_bytes = max_bytes
        self._client = httpx2.Client(
            auth=auth, verify=verify, timeout=timeout, trust_env=False, follow_redirects=False, transport=transport
        )

    @classmethod
    def of(cls, settings: Settings) -> Upstream | None:
        """Return the server of the settings, with its credentials, or None when there is none.

        Raises `SettingsError` when the credentials cannot be used.
        """
        if settings.server is None:
            return None
        access = server_access(settings)
        return cls(
            str(settings.server),
            timeout=settings.delivery_timeout,
            max_bytes=settings.max_body_bytes,
            auth=access.auth,
            verify=access.verify,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def read(self, kind: str, identifier: str, request: str | None = None) -> Answer:
        """Return the answer to reading a resource; `request` is sent as X-Request-Id.

        Raises `DeliveryError` when `identifier` is no FHIR id.
        """
        if not is_id(identifier):
            raise DeliveryError("this is not a FHIR id")
        return self.ask("GET", f"{kind}/{identifier}", headers=None if request is None else {"X-Request-Id": request})

    def ask(
        self,
        method: str,
        url: str,
        *,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        resource: Json | None = None,
    ) -> Answer:
        """Send a request to `url`, relative to the base or on the server's origin, and return the answer.

        Raises `TransientDeliveryError` when the server cannot be reached, is busy, wants other credentials or answers
        with a page for people, and `DeliveryError` when it refuses or the url is not its own.
        """
        content = None if resource is None else orjson.dumps(dict(resource))
        stated = {"Content-Type": FHIR_JSON} if content else {}
        with self.stream(
            method, url, parameters=parameters, headers={**stated, **(headers or {})}, content=content
        ) as response:
            raw = self._bounded(response)
        return Answer(
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=_resource(response, raw),
        )

    @contextmanager
    def stream(
        self,
        method: str,
        url: str,
        *,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        with_credentials: bool = True,
    ) -> Iterator[httpx2.Response]:
        """Send a request and give the answer before its body is read. Raises as `ask`."""
        request = self._client.build_request(
            method,
            self.own_url(url),
            params=parameters or None,
            headers={"Accept": FHIR_JSON, **(headers or {})},
            content=content,
        )
        try:
            auth = httpx2.USE_CLIENT_DEFAULT if with_credentials else None
            response = self._client.send(request, stream=True, auth=auth)
            try:
                if not response.is_success and response.status_code not in GONE:
                    raise self._refusal(response)
                yield response
            finally:
                response.close()
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise TransientDeliveryError(f"the FHIR server cannot be reached ({type(error).__name__})") from error

    def own_url(self, url: str) -> httpx2.URL:
        """Return the absolute url. Raises `DeliveryError` when it leads to another origin than the server's.

        Origins are compared and not the beginnings of strings: https://fhir.example.org.evil.example begins well too.
        """
        try:
            target = httpx2.URL(f"{self.base}/").join(url)
        except httpx2.InvalidURL:
            raise DeliveryError("the FHIR server gave a url that is not valid") from None
        if origin_of(target) != origin_of(httpx2.URL(self.base)) or target.userinfo:
            raise DeliveryError("the FHIR server gave a url on another server; it is not followed")
        return target

    def _bounded(self, response: httpx2.Response) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > self._max_bytes:
                raise TooLongError(
                    f"the FHIR server's answer is longer than the setting max_body_bytes ({self._max_bytes}) allows"
                )
        return bytes(body)

    def _refusal(self, response: httpx2.Response) -> DeliveryError:
        # Made anew with its body, which is read only up to the limit.
        plain = {name: value for name, value in response.headers.items() if name.lower() == "retry-after"}
        error = refusal(httpx2.Response(response.status_code, headers=plain, content=self._bounded(response)))
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            # It is nobody's document that is at fault: all would be set aside until the credentials are right.
            return TransientDeliveryError(f"{error}; check the credentials for the FHIR server")
        return error


def is_id(text: str) -> bool:
    """Whether the text is a FHIR id. "." and ".." are by the pattern, and would be folders in a url."""
    return _ID.fullmatch(text) is not None and text not in (".", "..")


def entries(bundle: Json) -> list[Json]:
    """Return the entries of a Bundle that are objects."""
    found = bundle.get("entry", [])
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def resources(bundle: Json, kind: str) -> list[Json]:
    """Return the resources of a type in a Bundle; others (an OperationOutcome of a search) are left out."""
    found = [each.get("resource") for each in entries(bundle)]
    return [each for each in found if isinstance(each, dict) and each.get("resourceType") == kind]


def next_page(bundle: Json) -> str | None:
    """Return the url of the next page of a search, or None on the last one."""
    links = bundle.get("link", [])
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("relation") == "next" and isinstance(link.get("url"), str):
            url: str = link["url"]
            return url
    return None


def _resource(response: httpx2.Response, raw: bytes) -> Json:
    if not raw.strip() or response.status_code in GONE:
        return {}
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        # A sign-in or maintenance page of something before the server: it passes, or the address is to be changed.
        raise TransientDeliveryError(
            f"the FHIR server answered {response.status_code} with something else than a FHIR resource as JSON; check "
            "its address, and what stands before it"
        )
    return value
