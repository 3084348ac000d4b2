"""Entries of a note's Bundle: which are the document's own, and which were derived from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhir_coder.delivery.revision import taken_back
from fhir_coder.fhir.identity import IDENTIFIER_SYSTEM, full_url

Json = Mapping[str, Any]

DOCUMENT = "DocumentReference"
PROVENANCE = "Provenance"


def transaction(entries: Sequence[Json]) -> dict[str, Any]:
    """Return the transaction of the entries."""
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def is_update(entry: Json) -> bool:
    """Whether an entry takes the place of what is there."""
    return bool(entry["request"]["method"] == "PUT")


def is_of_document(entry: Json) -> bool:
    """Whether an entry is the document's own: it, what was derived from it, and their Provenance.

    The patient, the stay and the people of a message are not: other messages tell of them too.
    """
    return entry["resource"]["resourceType"] == DOCUMENT or _is_derived(entry)


def _is_derived(entry: Json) -> bool:
    resource = entry["resource"]
    marks = [*_listed(resource.get("identifier")), *resource.get("meta", {}).get("tag", ())]
    return any(each.get("system") == IDENTIFIER_SYSTEM for each in marks)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def underived(entries: Sequence[Json]) -> list[Json]:
    """Return the entries without what was derived: the document, and those about whom it is."""
    return [entry for entry in entries if entry["resource"]["resourceType"] == DOCUMENT or not _is_derived(entry)]


def superseded(entries: Sequence[Json]) -> list[Json]:
    """Return the entries without what was derived; the document itself is marked as replaced."""
    return [
        {**entry, "resource": taken_back(entry["resource"], superseded=True)}
        if entry["resource"]["resourceType"] == DOCUMENT
        else entry
        for entry in underived(entries)
    ]


def created(provenance: Json, identity: str) -> Json:
    """Return the entry of a Provenance that is created once."""
    return {
        "fullUrl": full_url(identity),
        "resource": provenance,
        "request": {
            "method": "POST",
            "url": PROVENANCE,
            "ifNoneExist": f"_tag={IDENTIFIER_SYSTEM}|{identity}",
        },
    }
