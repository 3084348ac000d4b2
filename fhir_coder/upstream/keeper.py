"""Keeps the service's Subscription on the FHIR server alive."""

from __future__ import annotations

import logging
import time

from fhir_coder.errors import SettingsError
from fhir_coder.settings import Settings
from fhir_coder.upstream.rest import Upstream
from fhir_coder.upstream.subscription import Wanted, needs_renewal, subscribe, subscriptions_at

_log = logging.getLogger(__name__)

_SECONDS = 60.0  # between two looks; a Subscription that fails again and again is not renewed more often


class Keeper:
    """Makes the Subscription, and renews it when it has failed, come to its end or vanished."""

    def __init__(self, upstream: Upstream, wanted: Wanted) -> None:
        self._upstream = upstream
        self._wanted = wanted
        self._looked: float | None = None  # time.monotonic(); None before the first time

    def keep(self) -> None:
        """Look after the Subscription. Raises `DeliveryError`."""
        now = time.monotonic()
        if self._looked is not None and now - self._looked < _SECONDS:
            return
        is_first, self._looked = self._looked is None, now
        found = [] if is_first else subscriptions_at(self._upstream, self._wanted.endpoint)
        if found and not needs_renewal(found[0]):
            return
        made = subscribe(self._upstream, self._wanted)
        _log.info("the Subscription is %s", made.get("status"))


def wanted_by(settings: Settings) -> Wanted | None:
    """Return the Subscription of the settings, or None when `subscribe` is off. Raises `SettingsError`."""
    if settings.subscribe == "off":
        return None
    if settings.server is None:
        raise SettingsError("setting subscribe: there is no FHIR server to subscribe to; give the setting server")
    if settings.subscription_endpoint is None:
        raise SettingsError(
            "setting subscription_endpoint: missing; give the URL under which the FHIR server reaches this service's "
            "/fhir/subscription"
        )
    if settings.subscribe == "backport" and not settings.subscription_topic:
        raise SettingsError("setting subscription_topic: missing; name the FHIR server's topic for documents")
    if settings.subscribe == "rest-hook" and settings.subscription_payload == "id-only":
        raise SettingsError("setting subscription_payload: id-only is for backport; choose empty or full-resource")
    secret = settings.subscription_secret
    return Wanted(
        endpoint=str(settings.subscription_endpoint).rstrip("/"),
        channel=settings.subscribe,
        criteria=settings.subscription_criteria,
        topic=settings.subscription_topic,
        payload=settings.subscription_payload,
        secret=secret.get_secret_value() if secret else None,
    )
