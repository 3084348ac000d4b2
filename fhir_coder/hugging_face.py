"""The environment in which models of Hugging Face run here: without a hub, and kind to who shares the cores."""

from __future__ import annotations

import os


def set_environment() -> None:
    """Set what torch and transformers read when they are imported, unless the user has set it: call it before."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # Threads that wait for each other must sleep: spinning, they take minutes from whoever shares the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
