"""Python's collector of cyclic garbage, set for a process that holds much and makes much that is short-lived."""

from __future__ import annotations

import gc

_OBJECTS = 50_000  # made and kept, before the youngest are looked through


def calm_collector() -> None:
    """Look through what is loaded by now no more, and through what is new less often.

    To be called when all is loaded. A coder holds millions of objects that never die. With Python's own thresholds,
    reading an HL7 v2 message took 0.45 ms of the processor, of which the collector took 0.18 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS, 20, 20)
