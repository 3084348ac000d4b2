"""Why no code was chosen, in a few classes that can be counted: the reasons themselves name concepts of the note."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Abstention = Literal["ambiguous", "unknown", "unsure", "tie", "barred", "no-dose", "not-asserted", "other"]

# What the reason holds -> its class; the first one that fits.
_CLASSES: Mapping[str, Abstention] = {
    "ambiguous abbreviation": "ambiguous",
    "no concept of the loaded releases resembles": "unknown",
    "only a dose or route would tell": "no-dose",
    "it is looked for, and not known to be there": "not-asserted",
    "several concepts fit equally well": "tie",
    ", below ": "unsure",
    "is meant, but": "barred",
}


def abstention(reason: str) -> Abstention:
    """Return the class of an entity's `abstained`."""
    return next((class_ for words, class_ in _CLASSES.items() if words in reason), "other")
