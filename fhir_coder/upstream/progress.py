"""How far the FHIR server's news are known: the events of each Subscription, and the time up to which was searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from sqlalchemy import Column, Connection, Engine, Integer, String, Table, select

from fhir_coder.delivery.database import METADATA
from fhir_coder.upstream.rows import put

_SUBSCRIPTIONS = Table(
    "upstream_subscriptions",
    METADATA,
    Column("server", String, primary_key=True),  # base URL
    Column("subscription", String, primary_key=True),  # "Subscription/7"
    Column("filled", Integer, nullable=False),
    Column("seen", Integer, nullable=False),
)
_SEARCHED = Table(
    "upstream_searched",
    METADATA,
    Column("server", String, primary_key=True),  # base URL
    Column("until", String, nullable=False),  # an instant, as the server writes it
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The events of one Subscription."""

    subscription: str  # "Subscription/7"
    filled: int  # all events up to this number are known
    seen: int  # the highest number heard of

    @property
    def has_gap(self) -> bool:
        """Whether events happened of which nothing is known."""
        return self.filled < self.seen


class Progress:
    """What is known of one FHIR server."""

    def __init__(self, engine: Engine, server: str) -> None:
        """`server` is its base URL."""
        self._engine = engine
        self._server = server
        self._changing = Lock()  # SQLite has no rows to lock

    def subscriptions(self) -> list[Counted]:
        """Return the Subscriptions that have told of events."""
        with self._engine.connect().execution_options(reads=True) as connection:
            rows = connection.execute(select(_SUBSCRIPTIONS).where(_SUBSCRIPTIONS.c.server == self._server)).all()
        return [Counted(subscription=row.subscription, filled=row.filled, seen=row.seen) for row in rows]

    def begin(self, subscription: str, events: int) -> Counted:
        """Take note of a handshake: a Subscription that is new here, or counts anew, begins with `events` behind it."""
        with self._changing, self._engine.begin() as connection:
            before = self._locked(connection, subscription)
            # A server that counts from the beginning again has fewer events than are known.
            filled = before.filled if before is not None and before.seen <= events else events
            self._put(connection, subscription, filled, events)
        return Counted(subscription=subscription, filled=filled, seen=events)

    def count(self, subscription: str, numbers: Sequence[int], events: int | None) -> Counted:
        """Add the events of a notification, and return what is known now.

        `events` is how many the server says there were; a Subscription's first event has the number 1.
        """
        with self._changing, self._engine.begin() as connection:
            before = self._locked(connection, subscription)
            filled, seen = (before.filled, before.seen) if before else (0, 0)
            for number in sorted(numbers):
                if number == filled + 1:
                    filled = number
            seen = max(seen, filled, *numbers, events or 0)
            self._put(connection, subscription, filled, seen)
        return Counted(subscription=subscription, filled=filled, seen=seen)

    def fill(self, counted: Counted) -> None:
        """Remember that the events up to `counted.seen` are known by another way; those since then are not."""
        with self._changing, self._engine.begin() as connection:
            now = self._locked(connection, counted.subscription)
            if now is not None:
                filled = max(now.filled, counted.seen)
                self._put(connection, counted.subscription, filled, max(now.seen, filled))

    def forget(self, subscription: str) -> None:
        """Forget a Subscription that is no more."""
        with self._engine.begin() as connection:
            connection.execute(
                _SUBSCRIPTIONS.delete().where(
                    _SUBSCRIPTIONS.c.server == self._server, _SUBSCRIPTIONS.c.subscription == subscription
                )
            )

    def searched_until(self) -> str | None:
        """Return the instant up to which was searched, or None before the first search."""
        with self._engine.connect().execution_options(reads=True) as connection:
            return connection.execute(
                select(_SEARCHED.c.until).where(_SEARCHED.c.server == self._server)
            ).scalar_one_or_none()

    def set_searched(self, until: str) -> None:
        """Remember up to when was searched."""
        with self._engine.begin() as connection:
            put(connection, _SEARCHED, {"server": self._server}, {"until": until})

    def _locked(self, connection: Connection, subscription: str) -> Counted | None:
        """Return what is known, so that no other service changes it before this transaction ends."""
        row = connection.execute(
            select(_SUBSCRIPTIONS)
            .where(_SUBSCRIPTIONS.c.server == self._server, _SUBSCRIPTIONS.c.subscription == subscription)
            .with_for_update()
        ).one_or_none()
        return None if row is None else Counted(subscription=subscription, filled=row.filled, seen=row.seen)

    def _put(self, connection: Connection, subscription: str, filled: int, seen: int) -> None:
        key = {"server": self._server, "subscription": subscription}
        put(connection, _SUBSCRIPTIONS, key, {"filled": filled, "seen": seen})
