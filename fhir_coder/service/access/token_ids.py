"""Which access tokens were shown under which `jti`: no other token is accepted under one, until it has expired.

Source: RFC 7519 section 4.1.7 ("the same value will [not] be accidentally assigned to a different data object"; "can be
used to prevent the JWT from being replayed")
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cachetools import TLRUCache

from fhir_coder.errors import AccessError

_MOST = 100_000  # tokens remembered: some 30 MB
_FAR = 1 << 40  # seconds since 1970; an `exp` may be larger than any float


@dataclass(frozen=True, slots=True)
class _Shown:
    digest: bytes
    forgotten: float  # seconds since 1970


class TokenIds:
    """Remembers tokens in this process. An access token is sent with every call, unless it is for a single use."""

    def __init__(self, single_use: bool, leeway: float, most: int = _MOST) -> None:
        self._single_use = single_use
        self._leeway = leeway
        self._most = most
        self._shown: TLRUCache[str, _Shown] = TLRUCache(most, lambda _, shown, __: shown.forgotten, time.time)
        self._lock = threading.Lock()

    def check(self, claims: Mapping[str, Any], signed: bytes) -> None:
        """Remember a token that is good otherwise, `signed` being what its signature covers.

        Raises `ValueError` for a `jti` that another token had or, for single use, this one, and that is missing then;
        `AccessError` when no more tokens of a single use can be remembered.
        """
        name = claims.get("jti")
        if name is None and not self._single_use:
            return
        if not isinstance(name, str) or not name:
            raise ValueError("jti")
        shown = _Shown(hashlib.sha256(signed).digest(), min(claims["exp"], _FAR) + self._leeway)
        with self._lock:
            before = self._shown.get(name)
            if before is not None and (self._single_use or before.digest != shown.digest):
                raise ValueError("jti replayed")
            if before is None and self._single_use:
                self._shown.expire()
                if len(self._shown) >= self._most:
                    raise AccessError("too many tokens were shown; try again later", kind="transient")
            self._shown[name] = shown
