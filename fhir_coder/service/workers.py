"""What goes on behind the intake: threads that code what was taken in, send what came of it, and keep order."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from fhir_coder.delivery.audit import places
from fhir_coder.delivery.bell import Bell
from fhir_coder.delivery.coding import TRIES, Coding
from fhir_coder.delivery.dispatch import Dispatch
from fhir_coder.delivery.gate import Gate
from fhir_coder.delivery.housekeeping import purge
from fhir_coder.delivery.inbox import Coded, Inbox, Item
from fhir_coder.delivery.outbox import Outbox
from fhir_coder.delivery.sending import Sending
from fhir_coder.delivery.worker import Worker
from fhir_coder.errors import UnsupportedError
from fhir_coder.settings import Settings

_INTERRUPTIONS = 10  # of an item whose note is coded in another process, and so cannot have ended this one
_LOOK_ROUND_SECONDS = 5.0
_PURGE_SECONDS = 3600.0

Handle = Callable[[Item], Coded]


class Workers:
    """The threads, started and stopped together."""

    def __init__(
        self,
        settings: Settings,
        inbox: Inbox,
        outbox: Outbox,
        handlers: Mapping[str, Handle],
        deliver: Callable[[Dispatch], None],
    ) -> None:
        """`handlers` code an item, by its kind."""
        self._inbox = inbox
        self._outbox = outbox
        self._settings = settings
        self._purged = 0.0
        sent_to = settings.delivery_connections if settings.out is None else 1  # a file has one writer
        self._gate = Gate()
        coding = Coding(
            inbox,
            lambda item: _handler(handlers, item)(item),
            outbox.queue.bell.ring,
            interruptions=_INTERRUPTIONS if settings.coding_workers else TRIES,
        )
        sending = Sending(outbox, deliver, self._gate, audits_of=places(settings))
        self._coders = [
            Worker(f"coding-{number}", coding.step, inbox.queue.bell) for number in range(settings.coding_workers or 1)
        ]
        self._senders = [Worker(f"sending-{number}", sending.step, outbox.queue.bell) for number in range(sent_to)]
        self._housekeeper = Worker("housekeeping", self._keep_house, Bell())

    def start(self) -> None:
        """Begin with what was left over from before."""
        for worker in self._all:
            worker.start()

    def wake(self) -> None:
        """Tell that something was taken in."""
        self._inbox.queue.bell.ring()

    @property
    def alive(self) -> bool:
        """Whether all of them run."""
        return all(worker.alive for worker in self._all)

    @property
    def server_away(self) -> bool:
        """Whether the FHIR server, or the folder, took nothing lately."""
        return self._gate.away

    def begin_stop(self) -> None:
        """Let what is in hand be the last."""
        for worker in self._all:
            worker.begin_stop()

    def stop(self, seconds: float) -> bool:
        """Finish what is in hand and end. Return False when that took longer than so many seconds."""
        deadline = time.monotonic() + seconds
        self.begin_stop()
        ended = [worker.stop(max(0.0, deadline - time.monotonic())) for worker in self._all]
        return all(ended)

    @property
    def _all(self) -> list[Worker]:
        return [self._housekeeper, *self._coders, *self._senders]

    def _keep_house(self) -> float:
        for queue in (self._inbox.queue, self._outbox.queue):
            if queue.release_gone():
                queue.bell.ring()
        if time.monotonic() - self._purged > _PURGE_SECONDS or not self._purged:
            purge(self._inbox.queue.engine, self._settings.queue_retention_days)
            self._purged = time.monotonic()
        return _LOOK_ROUND_SECONDS


def _handler(handlers: Mapping[str, Handle], item: Item) -> Handle:
    handler = handlers.get(item.kind)
    if handler is None:
        raise UnsupportedError(f"there is nothing here that reads items of the kind {item.kind}; start with --server")
    return handler
