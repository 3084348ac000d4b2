"""What a delivery did to what stood before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

What = Literal[
    "update", "reinstate", "adopt", "evidence", "retract", "supersede", "coded", "kept", "gone", "ignored", "waiting"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a delivery did to what stood before, or left undone. It holds nothing of the note."""

    target: Literal["server", "folder"]
    what: What
    place: str  # "Condition/7"; "" where it is about the whole document
    reason: str = ""
