"""The parts that speak with the FHIR server, put together: whose business its documents are, and from when on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from fhir_coder.delivery.database import open_database
from fhir_coder.delivery.inbox import Inbox
from fhir_coder.delivery.outbox import Outbox
from fhir_coder.errors import DeliveryError, SettingsError
from fhir_coder.service.desk import Desk
from fhir_coder.service.upstream_service import UpstreamService, upstream_service
from fhir_coder.settings import Settings
from fhir_coder.upstream.rest import Upstream
from tests.unit.service.conftest import TinyCoder
from tests.unit.upstream.fake_server import BASE, FakeServer, document


class Made:
    """The parts over a server of the test."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **given: Any) -> None:
        self.server = FakeServer()
        monkeypatch.setattr(Upstream, "of", lambda _: self.server.upstream())
        settings = Settings(data_dir=folder, server=BASE, **given)
        engine = open_database(folder)
        self.inbox = Inbox(engine)
        desk = Desk(TinyCoder(), settings, Outbox(engine))  # type: ignore[arg-type]
        service = upstream_service(desk, engine, self.inbox)
        assert service is not None
        self.service: UpstreamService = service

    def sweep(self) -> bool:
        return self.service.sweeper.sweep()


def test_without_a_subscription_the_server_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(tmp_path, monkeypatch)
    assert not made.sweep()
    assert made.server.requests == []


def test_with_one_it_is_made_kept_and_what_it_missed_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = "http://coder.example.org/fhir/subscription"
    made = Made(tmp_path, monkeypatch, subscribe="rest-hook", subscription_endpoint=endpoint)
    made.server.add(document("d1"))
    assert made.sweep()
    # From when to search is known before there is a Subscription: nothing can happen unseen between them.
    assert made.server.asked() == [
        "GET DocumentReference",
        "GET Subscription",
        "POST Subscription",
        "GET DocumentReference",
    ]
    assert made.inbox.counts()["waiting"] == 1


def test_a_server_that_refuses_the_subscription_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = "http://coder.example.org/fhir/subscription"
    made = Made(tmp_path, monkeypatch, subscribe="rest-hook", subscription_endpoint=endpoint)
    made.server.add(document("d1"))
    made.server.answers = [lambda request: httpx2.Response(422) if request.method == "POST" else None]
    with pytest.raises(DeliveryError, match="422"):
        made.sweep()
    assert made.inbox.counts()["waiting"] == 1


def test_settings_that_cannot_be_followed_stop_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="subscription_endpoint"):
        Made(tmp_path, monkeypatch, subscribe="rest-hook")
