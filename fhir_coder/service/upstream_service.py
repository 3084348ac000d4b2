"""What the service does with the FHIR server that documents come from, put together: notifications, sweeps, intake."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from fhir_coder.delivery.inbox import Inbox
from fhir_coder.service.desk import Desk
from fhir_coder.service.document_intake import DocumentIntake
from fhir_coder.service.subscriptions import Notified
from fhir_coder.service.sweeper import Sweeper
from fhir_coder.upstream.keeper import Keeper, wanted_by
from fhir_coder.upstream.progress import Progress
from fhir_coder.upstream.rest import Upstream
from fhir_coder.upstream.sweep import Sweep, begin


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamService:
    """The parts; all of them stop with `close`."""

    upstream: Upstream
    intake: DocumentIntake
    notified: Notified
    sweeper: Sweeper

    def close(self) -> None:
        """End the sweeper and close the connections."""
        if self.sweeper.stop():
            self.upstream.close()


def upstream_service(desk: Desk, engine: Engine, inbox: Inbox) -> UpstreamService | None:
    """Return the parts, or None when there is no FHIR server.

    Raises `SettingsError` when `subscribe` is on and cannot be followed.
    """
    settings = desk.settings
    wanted = wanted_by(settings)
    upstream = Upstream.of(settings)
    if upstream is None:
        return None
    progress = Progress(engine, upstream.base)
    intake = DocumentIntake(upstream, engine, inbox, desk)
    sweep = Sweep(upstream, progress, intake.found)
    keeper = Keeper(upstream, wanted) if wanted else None

    def run() -> bool:
        if keeper is None and progress.searched_until() is None:
            return False  # nobody has subscribed: what is on the server is none of our business
        begin(upstream, progress)  # before the Subscription: what happens between them is found
        try:
            if keeper is not None:
                keeper.keep()
        finally:
            sweep.run()  # a server that refuses the Subscription can be searched
        return True

    sweeper = Sweeper(run, settings.sweep_seconds)
    notified = Notified(intake, progress, sweeper.wake)
    return UpstreamService(upstream=upstream, intake=intake, notified=notified, sweeper=sweeper)
