"""What the service tells AuditEvents of: who called, and what was read for it; nothing, if the setting `audit` is none.

A call is answered only when its AuditEvent is on the disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from fhir_coder.delivery.audit import audit_of_operation, audit_of_reading
from fhir_coder.delivery.dispatch import Dispatch
from fhir_coder.errors import CodingStoppedError, FhirCoderError
from fhir_coder.fhir.audit_event import Outcome, User
from fhir_coder.logs import correlation
from fhir_coder.model import Note
from fhir_coder.service.access.caller import caller_of
from fhir_coder.service.desk import Desk
from fhir_coder.service.outcome import of_error
from fhir_coder.settings import Settings

_OURS = "http://fhir-coder.org/fhir/identifier/"
_BINARY = re.compile(r"Binary/[A-Za-z0-9\-.]{1,64}")
_CONTENT = re.compile(r".*\.content\[(\d+)\]\.attachment", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalledBy:
    """Who called; it is kept with a call that is answered later."""

    name: str  # `Caller.name`; "" where nobody is asked
    address: str  # that the connection came from
    request: str  # X-Request-Id of our answer

    @classmethod
    def of(cls, request: Request) -> CalledBy:
        """Return who sent a request."""
        host = request.client.host if request.client else ""
        return cls(name=caller_of(request).name, address=host, request=correlation() or "")

    def user(self, settings: Settings) -> User | None:
        """Return the holder of the key, token or certificate, or None where nobody was asked."""
        kind, _, name = self.name.partition(" ")
        systems = {
            "key": f"{_OURS}api-key",
            "certificate": f"{_OURS}client-certificate",
            "token": settings.oidc_issuer or f"{_OURS}token",
        }
        return User(system=systems[kind], value=name) if name else None


@contextmanager
def audited_call(desk: Desk, by: CalledBy | None, note: Note) -> Iterator[None]:
    """Keep the AuditEvent of a call of $code-note when what is inside has ended, also when it failed.

    A call that is given back because the service ends has not ended. Raises SQLAlchemyError.
    """
    if by is None or desk.settings.audit == "none":
        yield
        return
    outcome: Outcome = "8"
    try:
        yield
        outcome = "0"
    except CodingStoppedError:
        raise
    except FhirCoderError as error:
        _keep_call(desk, by, note, "8" if of_error(error)[0] >= 500 else "4")
        raise
    except Exception:
        _keep_call(desk, by, note, outcome)
        raise
    _keep_call(desk, by, note, outcome)


def _keep_call(desk: Desk, by: CalledBy, note: Note, outcome: Outcome) -> None:
    audit = audit_of_operation(
        desk.settings,
        by.request,
        "$code-note",
        client=by.address,
        document=note.document,
        patient=note.subject,
        user=by.user(desk.settings),
        outcome=outcome,
    )
    desk.keep_audits([] if audit is None else [audit])


def audits_of_document(
    settings: Settings, act: str, document: Mapping[str, Any], note: Note | None, user: User | None = None
) -> list[Dispatch]:
    """Return the AuditEvent of reading a DocumentReference from the FHIR server, with the Binary that `note` is from.

    `act` is the X-Request-Id of the reading; `note` is None where none could be made.
    """
    if settings.audit == "none":
        return []
    base = str(settings.server).rstrip("/")
    subject = document.get("subject")
    reference = subject.get("reference") if isinstance(subject, Mapping) else None
    places = [f"DocumentReference/{document.get('id')}", *_binary(document, note, base)]
    patient = reference if isinstance(reference, str) else None
    return [audit_of_reading(base, act, places, patient=patient, user=user)]


def _binary(document: Mapping[str, Any], note: Note | None, base: str) -> list[str]:
    found = _CONTENT.fullmatch(note.attachment or "") if note is not None else None
    if found is None:
        return []
    attachment = document["content"][int(found[1])]["attachment"]  # it was read from there
    url = "" if "data" in attachment else str(attachment.get("url", ""))
    place = url.removeprefix(f"{base}/")
    return [place] if _BINARY.fullmatch(place) else []
