"""SMART system scopes of both versions, and what grants nothing."""

from __future__ import annotations

import pytest

from fhir_coder.errors import AccessError
from fhir_coder.service.access.scopes import Need, Scopes, require_scopes

READ, WRITE = Need("DocumentReference", "r"), Need("DocumentReference", "cu")


@pytest.mark.parametrize(
    ("scopes", "reads", "writes"),
    [
        ("system/DocumentReference.*", True, True),
        ("system/DocumentReference.read", True, False),
        ("system/DocumentReference.write", False, True),
        ("system/DocumentReference.rs", True, False),
        ("system/DocumentReference.cruds", True, True),
        ("system/DocumentReference.c system/DocumentReference.u", False, True),
        ("system/DocumentReference.c", False, False),
        ("system/*.rs", True, False),
        ("system/*.*", True, True),
        ("system/*.cruds", True, True),
        ("openid system/*.read system/DocumentReference.cu", True, True),
        ("system/Condition.cruds", False, False),
        ("patient/DocumentReference.*", False, False),
        ("user/*.*", False, False),
        ("system/DocumentReference.rs?category=laboratory", False, False),
        ("system/DocumentReference.sr", False, False),
        ("system/DocumentReference.", False, False),
        ("system/DocumentReference", False, False),
        ("System/DocumentReference.*", False, False),
        ("system/documentreference.*", False, False),
        ("system/DocumentReference.*\n", True, True),  # split at white space
        ("xsystem/*.*", False, False),
        ("", False, False),
    ],
)
def test_what_scopes_grant(scopes: str, reads: bool, writes: bool) -> None:
    granted = Scopes.parse(scopes.split())
    assert (granted.grant(READ), granted.grant(WRITE)) == (reads, writes)


def test_a_scope_that_would_grant_nothing_is_refused_for_a_key() -> None:
    with pytest.raises(AccessError, match="no system scope"):
        require_scopes(["system/*.rs", "user/*.*"])
