"""What lost notifications missed, found by asking: the events of a Subscription, or all documents of late.

Sources: https://hl7.org/fhir/uv/subscriptions-backport/ ($events), https://hl7.org/fhir/R4/search.html.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from fhir_coder.errors import DeliveryError, InputError, TransientDeliveryError
from fhir_coder.upstream.notification import DOCUMENT, Named, of_bundle, version_of
from fhir_coder.upstream.progress import Counted, Progress
from fhir_coder.upstream.rest import Json, TooLongError, Upstream, is_id, next_page, resources

Take = Callable[[Sequence[Named]], object]

# A server gives a resource its time before others can see it: what is a little older than the newest is listed again.
_OVERLAP = timedelta(seconds=60)
_CLOCKS = timedelta(minutes=5)  # by which the server's clock may be ahead of ours
_PAGE = 100  # documents
_MOST_PAGES = 10_000  # of one search: a server whose pages never end is not followed for ever


class Sweep:
    """Asks one FHIR server for what is new."""

    def __init__(self, upstream: Upstream, progress: Progress, take: Take) -> None:
        """`take` stores documents to be looked at, and must not return before they are on the disk."""
        self._upstream = upstream
        self._progress = progress
        self._take = take

    def run(self) -> int:
        """Find what is new, have it stored, and return how many documents that were.

        Subscriptions that count their events are asked for those that are missing; where there is none, or one cannot
        tell, all documents since the last search are listed. Raises `DeliveryError`.
        """
        counted = self._progress.subscriptions()
        told = [self._ask_events(each) for each in counted]
        if counted and None not in told:
            return sum(number or 0 for number in told)
        found = self.search()
        for each, number in zip(counted, told, strict=True):
            if number is None:  # what these events told of was changed before the search began
                self._progress.fill(each)
        return found + sum(number or 0 for number in told)

    def search(self) -> int:
        """List the documents that changed since the last search, oldest first, and have them stored."""
        since = begin(self._upstream, self._progress)
        found, newest = 0, since
        for page in self._pages(_earlier(since)):
            self._take([_named(each) for each in page])
            found += len(page)
            newest = max([newest, *filter(None, map(_updated, page))], key=_moment)
        # Only now: a server that does not sort may give the oldest last.
        self._progress.set_searched(newest)
        return found

    def _pages(self, since: str) -> Iterator[list[Json]]:
        count = _PAGE
        parameters = {"_lastUpdated": f"ge{since}", "_sort": "_lastUpdated", "_elements": "id,meta"}
        while True:
            try:
                page = self._ask(DOCUMENT, parameters | {"_count": str(count)})
                break
            except TooLongError:  # the server sends whole documents
                if count == 1:
                    raise
                count = max(1, count // 4)
        for _ in range(_MOST_PAGES):
            yield [each for each in resources(page, DOCUMENT) if isinstance(each.get("id"), str) and is_id(each["id"])]
            url = next_page(page)
            if url is None:
                return
            page = self._ask(url)
        raise DeliveryError(f"the search for new documents has more than {_MOST_PAGES} pages")

    def _ask(self, url: str, parameters: dict[str, str] | None = None) -> Json:
        answer = self._upstream.ask("GET", url, parameters=parameters)
        if not answer.is_there or answer.body.get("resourceType") != "Bundle":
            raise TransientDeliveryError("the FHIR server did not answer the search for new documents with a Bundle")
        return answer.body

    def _ask_events(self, counted: Counted) -> int | None:
        """Have the missing events of a Subscription stored; None when the server does not tell, or it is not active."""
        parameters = {"eventsSinceNumber": str(counted.filled + 1), "content": "id-only"}
        try:
            answer = self._upstream.ask("GET", f"{counted.subscription}/$events", parameters=parameters)
            if not answer.is_there:
                self._forget_if_gone(counted)
                return None
            said = of_bundle(answer.body)
        except (DeliveryError, InputError):  # whatever is the matter with the operation, a search finds it too
            return None
        if said.kind != "query-event" or said.is_vague or said.status != "active":
            return None
        self._take(said.documents)
        now = self._progress.count(counted.subscription, said.numbers, said.events)
        # Events that it no longer has are not among those it gave.
        return None if now.has_gap else len(said.documents)

    def _forget_if_gone(self, counted: Counted) -> None:
        """Forget a Subscription that was removed; one that is there only has no such operation."""
        if not self._upstream.ask("GET", counted.subscription).is_there:
            self._progress.forget(counted.subscription)


def begin(upstream: Upstream, progress: Progress, since: str | None = None) -> str:
    """Set from when to search: `since` (an instant), else as before, else from now by the server's clock; return it.

    Raises `DeliveryError` when the server does not tell.
    """
    before = progress.searched_until()
    if since is None and before is not None:
        return before
    start = since or _now(upstream)
    progress.set_searched(start)
    return start


def _now(upstream: Upstream) -> str:
    """The time by the server's clock, which may differ from ours."""
    answer = upstream.ask("GET", DOCUMENT, parameters={"_count": "1", "_elements": "id,meta"})
    try:
        moment = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        moment = datetime.now(UTC)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def instant(text: str) -> str:
    """Return a date or time as an instant in UTC. Raises `ValueError`; what names no zone is UTC."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC).isoformat(timespec="milliseconds")


def _named(resource: Json) -> Named:
    return Named(id=resource["id"], version=version_of(resource))


def _updated(resource: Json) -> str | None:
    meta = resource.get("meta")
    value = meta.get("lastUpdated") if isinstance(meta, dict) else None
    try:
        moment = instant(value) if isinstance(value, str) else None
    except ValueError:
        return None
    # One from the future, believed, would hide all that comes before it.
    return moment if moment and _moment(moment) <= datetime.now(UTC) + _CLOCKS else None


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _earlier(text: str) -> str:
    moment = (_moment(text) - _OVERLAP).astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
