"""Free-text clinical notes in, coded FHIR out. The names below are the public interface; see `pipeline` first.

They are loaded on first use: `import fhir_coder` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fhir_coder.errors import FhirCoderError
    from fhir_coder.fhir.bundle import to_bundle
    from fhir_coder.model import CodedNote, Entity, Note
    from fhir_coder.pipeline import Coder
    from fhir_coder.settings import Settings

__all__ = ["CodedNote", "Coder", "Entity", "FhirCoderError", "Note", "Settings", "to_bundle"]

_HOMES = {
    "CodedNote": "model",
    "Coder": "pipeline",
    "Entity": "model",
    "FhirCoderError": "errors",
    "Note": "model",
    "Settings": "settings",
    "to_bundle": "fhir.bundle",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
