"""`fhir-coder subscribe`: the Subscription by which a FHIR server tells the service of new documents."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_coder.cli_terminology import SettingsFile
from fhir_coder.errors import DeliveryError, InputError, SettingsError
from fhir_coder.settings import Settings
from fhir_coder.terminal import complain, print_table

if TYPE_CHECKING:
    from rich.table import Table

    from fhir_coder.upstream.rest import Json, Upstream


class ChannelOption(StrEnum):
    """How the server notifies."""

    REST_HOOK = "rest-hook"
    BACKPORT = "backport"


class PayloadOption(StrEnum):
    """What a notification tells."""

    EMPTY = "empty"
    ID_ONLY = "id-only"
    FULL_RESOURCE = "full-resource"


def subscribe(
    server: Annotated[str | None, typer.Option(help="Base URL of the FHIR server.")] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(help="URL under which the FHIR server reaches the service: https://.../fhir/subscription."),
    ] = None,
    channel: Annotated[
        ChannelOption | None, typer.Option(help="rest-hook: by criteria (R4, the default); backport: by a topic.")
    ] = None,
    criteria: Annotated[
        str | None, typer.Option(help="Which documents (DocumentReference?...); all of them by default.")
    ] = None,
    topic: Annotated[str | None, typer.Option(help="Canonical URL of the server's topic; backport only.")] = None,
    payload: Annotated[PayloadOption | None, typer.Option(help="What a notification tells.")] = None,
    days: Annotated[float | None, typer.Option(min=0.01, help="Let it end after so many days.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Have the service code documents since this time (2026-03-01), too.")
    ] = None,
    renew: Annotated[bool, typer.Option("--renew", help="Ask for it anew: it failed, or comes to its end.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Show how it stands; change nothing.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Delete it.")] = False,
    settings_file: SettingsFile = None,
) -> None:
    """Have a FHIR server notify the service ('fhir-coder serve') of new documents.

    Calling it again changes the Subscription of this endpoint, or leaves it as it is.

    Example: fhir-coder subscribe --server http://fhir.example.org/fhir --endpoint http://coder.example.org/fhir/subscription
    """
    from fhir_coder.upstream import subscription as on_server
    from fhir_coder.upstream.rest import Upstream

    if renew + show + remove > 1:
        raise typer.BadParameter("give one of --renew, --show and --remove", param_hint="--renew")
    if since is not None and (renew or show or remove):
        raise typer.BadParameter("it goes with a new Subscription only", param_hint="--since")
    start = _instant(since)
    settings = Settings.load(
        settings_file,
        server=server,
        subscribe=channel.value if channel else None,
        subscription_endpoint=endpoint,
        subscription_criteria=criteria,
        subscription_topic=topic,
        subscription_payload=payload.value if payload else None,
    )
    upstream = Upstream.of(settings)
    if upstream is None or settings.subscription_endpoint is None:
        raise SettingsError("name the FHIR server with --server and the service with --endpoint (or in the settings)")
    with upstream:
        if not (renew or show or remove):
            _make(upstream, settings, days, start)
            return
        found = on_server.subscriptions_at(upstream, str(settings.subscription_endpoint).rstrip("/"))
        if not found:
            raise DeliveryError("the FHIR server has no Subscription for this endpoint; make one without the option")
        if remove:
            for each in found:
                on_server.remove(upstream, each)
            complain(f"{len(found)} removed")
        else:
            shown = [on_server.renew(upstream, each, days) for each in found] if renew else found
            print_table(_table(shown))


def _make(upstream: Upstream, settings: Settings, days: float | None, since: str | None) -> None:
    from dataclasses import replace

    from fhir_coder.delivery.database import open_database_of
    from fhir_coder.upstream.keeper import wanted_by
    from fhir_coder.upstream.progress import Progress
    from fhir_coder.upstream.subscription import subscribe as have
    from fhir_coder.upstream.sweep import begin

    if settings.subscribe == "off":
        settings = settings.model_copy(update={"subscribe": ChannelOption.REST_HOOK.value})
    wanted = wanted_by(settings)
    assert wanted is not None  # noqa: S101 - told to the type checker: it is on
    engine = open_database_of(settings)
    try:
        # Before the Subscription is there, so that what happens in between is found by the service's first search.
        begin(upstream, Progress(engine, upstream.base), since)
        print_table(_table([have(upstream, replace(wanted, days=days))]))
    finally:
        engine.dispose()


def _instant(text: str | None) -> str | None:
    from fhir_coder.upstream.sweep import instant

    try:
        return None if text is None else instant(text)
    except ValueError:
        raise InputError("this is no date or time; give 2026-03-01 or 2026-03-01T08:00:00Z", place="--since") from None


def _table(found: Sequence[Json]) -> Table:
    from rich.table import Table

    table = Table("Subscription", "status", "criteria", "payload", "end", "error")
    for each in found:
        channel = each.get("channel", {})
        content = [
            extension.get("valueCode")
            for extension in channel.get("_payload", {}).get("extension", [])
            if extension.get("url", "").endswith("/backport-payload-content")
        ]
        payload = content[0] if content else ("full-resource" if channel.get("payload") else "empty")
        texts = (each.get("id"), each.get("status"), each.get("criteria"), payload, each.get("end"), each.get("error"))
        table.add_row(*(str(text) if text is not None else "" for text in texts))
    return table
