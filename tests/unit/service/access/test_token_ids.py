"""What is remembered of tokens: until they expire, and a bounded number of them."""

from __future__ import annotations

import time

import pytest
import time_machine

from fhir_coder.errors import AccessError
from fhir_coder.service.access.token_ids import TokenIds


def _claims(name: str) -> dict[str, object]:
    return {"jti": name, "exp": int(time.time()) + 300}


def test_forgotten_when_expired() -> None:
    ids = TokenIds(single_use=True, leeway=30)
    with time_machine.travel(0.0, tick=False) as clock:
        ids.check(_claims("1"), b"one")
        clock.shift(329)
        with pytest.raises(ValueError, match="replayed"):
            ids.check(_claims("1"), b"one")
        clock.shift(2)
        ids.check(_claims("1"), b"two")


def test_a_full_memory_lets_no_token_of_a_single_use_in() -> None:
    ids = TokenIds(single_use=True, leeway=30, most=2)
    ids.check(_claims("1"), b"one")
    ids.check(_claims("2"), b"two")
    with pytest.raises(AccessError, match="later"):
        ids.check(_claims("3"), b"three")


def test_a_full_memory_forgets_the_token_that_was_not_shown_for_longest() -> None:
    ids = TokenIds(single_use=False, leeway=30, most=2)
    for name in ("1", "2", "1", "3"):
        ids.check(_claims(name), name.encode())
    with pytest.raises(ValueError, match="replayed"):
        ids.check(_claims("1"), b"another")
    ids.check(_claims("2"), b"another")


def test_an_expiry_beyond_all_numbers() -> None:
    TokenIds(single_use=True, leeway=30).check({"jti": "1", "exp": 10**400}, b"one")
