"""The endpoint that a FHIR server's Subscriptions notify: https://hl7.org/fhir/R4/subscription.html.

A notification is answered with 2xx only when what it names is on the disk, so that a server that tries again until it
hears so loses nothing.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.responses import Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from fhir_coder.errors import UnsupportedError
from fhir_coder.service.body import JSON_TYPES, read_body
from fhir_coder.service.desk import Desk
from fhir_coder.service.document_intake import DocumentIntake
from fhir_coder.upstream.notification import Notification, read_notification
from fhir_coder.upstream.progress import Progress

_log = logging.getLogger(__name__)

_CLOCKS = timedelta(minutes=5)  # by which the FHIR server's clock may be behind ours


class Notified:
    """Takes notifications in."""

    def __init__(self, intake: DocumentIntake, progress: Progress, search: Callable[[], None]) -> None:
        """`search` has the server searched soon."""
        self._intake = intake
        self._progress = progress
        self._search = search
        self._is_searched = False  # whether the sweep knows from when on to search

    def take(self, notification: Notification) -> None:
        """Store what a notification tells. Raises SQLAlchemyError and OSError when it cannot be."""
        self._begin()
        self._intake.notified(notification)
        if notification.is_vague or self._has_gap(notification):
            self._search()

    def _begin(self) -> None:
        """From the first notification on, the sweep looks for those that are lost."""
        if self._is_searched:
            return
        if self._progress.searched_until() is None:
            self._progress.set_searched((datetime.now(UTC) - _CLOCKS).isoformat(timespec="milliseconds"))
            self._search()
        self._is_searched = True

    def _has_gap(self, notification: Notification) -> bool:
        """Count the events of a topic; whether some were not told of."""
        if notification.subscription is None:
            return False
        if notification.kind == "handshake":
            return self._progress.begin(notification.subscription, notification.events or 0).has_gap
        return self._progress.count(notification.subscription, notification.numbers, notification.events).has_gap


def add_subscriptions(app: FastAPI, desk: Desk, notified: Notified | None) -> None:
    """Add the endpoint to the application. `notified` is None when there is no FHIR server to read documents from."""
    settings = desk.settings

    @app.api_route("/fhir/subscription", methods=["POST", "PUT"])
    @app.api_route("/fhir/subscription/{path:path}", methods=["POST", "PUT", "DELETE"])
    async def notification(request: Request, path: str = "") -> Response:
        if notified is None:
            raise UnsupportedError("documents are read from a FHIR server, and none is set; start with --server")
        secret = settings.subscription_secret
        if secret is not None:
            _require_secret(request, secret.get_secret_value())
        raw = await read_body(request, settings.max_body_bytes, JSON_TYPES) if _has_body(request) else b""
        desk.require_room()
        said = read_notification(request.method, path, raw, settings)
        try:
            await run_sync(notified.take, said)
        except (SQLAlchemyError, OSError) as error:
            _log.error("a notification could not be stored: %s", type(error).__name__)
            raise HTTPException(503, "the notification could not be stored; send it again later") from None
        desk.metrics.notifications.labels(said.kind).inc()
        desk.metrics.other_types.inc(said.others)
        return Response(status_code=200)


def _require_secret(request: Request, secret: str) -> None:
    """Raise `HTTPException` 401 unless the request bears the secret; it takes as long whatever is sent."""
    given = request.headers.get("authorization", "")
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), f"Bearer {secret}".encode()):
        raise HTTPException(401, "send the secret of the Subscription", headers={"WWW-Authenticate": "Bearer"})


def _has_body(request: Request) -> bool:
    """Whether there is a body. A notification without one may state any content type."""
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"
