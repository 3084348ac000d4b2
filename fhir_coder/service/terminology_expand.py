"""ValueSet/$expand, of the value set of all codes of a code system.

Source: https://hl7.org/fhir/R4/valueset-operation-expand.html
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from fhir_coder.errors import InputError
from fhir_coder.service.terminology_call import Call, Kinds
from fhir_coder.service.terminology_systems import (
    designations,
    is_abstract,
    is_internal,
    loaded_version,
    require_english,
    value_set_system,
)
from fhir_coder.terminology.release import Status
from fhir_coder.terminology.store import ConceptStore, StoredConcept

EXPAND: Kinds = {
    "url": "string",
    "valueSetVersion": "string",
    "filter": "string",
    "offset": "integer",
    "count": "integer",
    "includeDesignations": "boolean",
    "activeOnly": "boolean",
    # Both hold in any case: the list is flat, and of codes only.
    "excludeNested": "boolean",
    "excludePostCoordinated": "boolean",
    "displayLanguage": "string",
}
FILTER = (
    "Every word of the filter is the beginning of a word of one and the same name of the concept: of its display, "
    "a synonym, an abbreviation, a brand or an entry of the index. Case, accents and the order do not matter. "
    "Concepts with short names come first."
)
_MOST = 1_000  # concepts in an answer
_MOST_NAMES = 100_000  # that a filter matches; these take half a second
_LONGEST_FILTER = 200  # characters
_MOST_WORDS = 20  # each of one letter takes a tenth of a second
_ACCENTS = range(0x0300, 0x0370)


def expand(store: ConceptStore, call: Call) -> dict[str, Any]:
    """Return the value set with the concepts that the filter leaves, from `offset` on and `count` of them.

    `total` is always right. Raises `InputError` when there are more than are given at a time: who does not ask for a
    part must not take one for the whole, and who asks for a larger one must not go on behind what was left out.
    """
    require_english(call)
    url = call.require("url")
    system = value_set_system(store, url, call.text("valueSetVersion"), call.place("url"))
    found = [
        code
        for code, status in _filtered(store, system, call)
        if not is_internal(code) and not (call.truth("activeOnly") and status == "retired")
    ]
    offset, count = call.number("offset") or 0, call.number("count")
    here = found[offset:] if count is None else found[offset : offset + count]
    if len(here) > _MOST:
        raise InputError(
            f"there are {len(found)} concepts, and at most {_MOST} are given at a time; say with count how many, "
            "or give a filter that leaves fewer",
            place=call.place("count"),
            code="too-costly",
        )
    version = loaded_version(store, system, None, call.place("url"))
    return {
        "resourceType": "ValueSet",
        "url": url.partition("|")[0],
        "status": "active",
        "expansion": {
            "identifier": f"urn:uuid:{uuid4()}",
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
            "total": len(found),
            "offset": offset,
            "parameter": [
                {"name": "version", "valueUri": f"{system}|{version}"},
                *({"name": name, "valueString": value} for name in ("filter",) for value in call.all(name)),
                *({"name": name, "valueInteger": value} for name in ("offset", "count") for value in call.all(name)),
                *(
                    {"name": name, "valueBoolean": value}
                    for name in ("includeDesignations", "activeOnly")
                    for value in call.all(name)
                ),
            ],
            **({"contains": contained} if (contained := _contains(store, system, here, call)) else {}),
        },
    }


def _filtered(store: ConceptStore, system: str, call: Call) -> list[tuple[str, Status]]:
    """Return the codes, with their status, that the filter leaves; without a filter, all."""
    text, place = call.text("filter"), call.place("filter")
    if text is None:
        base = store.base(system)
        found = base.codes(_MOST_NAMES) if base else []
    else:
        if len(text) > _LONGEST_FILTER:
            raise InputError(f"the filter has more than {_LONGEST_FILTER} characters", place=place, code="too-long")
        words = filter_words(text)
        if not words:
            raise InputError("the filter has no letter or digit; give the beginning of a word", place=place)
        if len(words) > _MOST_WORDS:
            raise InputError(f"the filter has more than {_MOST_WORDS} words", place=place, code="too-long")
        found = _containing(store, system, " ".join(f'"{word}"*' for word in words))
    if found is None:
        raise InputError("this is too much to look through; give a longer filter", place=place, code="too-costly")
    return found


def _containing(store: ConceptStore, system: str, match: str) -> list[tuple[str, Status]] | None:
    """Return the codes with a name that an FTS5 expression matches, those with short names first; None: too many."""
    lengths: dict[str, int] = {}  # of the shortest name
    statuses: dict[str, Status] = {}
    base = store.base(system)
    for release in store.layers(system):
        found = release.codes_containing(match, _MOST_NAMES)
        if found is None:
            return None
        for code, status, length in found:
            if code not in statuses:
                # A supplement may name a code that the base does not have, and does not know the status.
                concept = None if release is base else store.concept(system, code)
                if release is not base and concept is None:
                    continue
                statuses[code] = concept.status if concept else status
            lengths[code] = min(length, lengths.get(code, length))
    return [(code, statuses[code]) for code in sorted(lengths, key=lambda code: (lengths[code], code))]


def filter_words(text: str) -> list[str]:
    """Return the words as FTS5 tells them apart (its tokenizer unicode61: runs of letters and digits), each once.

    A word that FTS5 would take for two, or none, is an error to it; so a character that came into Unicode after the
    6.1 that it knows stands for a space, as it does there. Python has the categories of 3.2 to tell.
    """
    composed = (character for character in unicodedata.normalize("NFC", text) if ord(character) not in _ACCENTS)
    kept = (c if unicodedata.ucd_3_2_0.category(c)[0] in "LN" else " " for c in composed)
    return list(dict.fromkeys("".join(kept).lower().split()))


def _contains(store: ConceptStore, system: str, codes: list[str], call: Call) -> list[dict[str, Any]]:
    found = (store.concept(system, code) for code in codes)
    return [
        {
            "system": concept.system,
            **({"abstract": True} if is_abstract(concept) else {}),
            **({"inactive": True} if concept.status == "retired" else {}),
            "version": concept.version,
            "code": concept.code,
            "display": concept.display,
            **_designated(store, concept, call),
        }
        for concept in found
        if concept is not None
    ]


def _designated(store: ConceptStore, concept: StoredConcept, call: Call) -> dict[str, Any]:
    texts = designations(store, concept) if call.truth("includeDesignations") else []
    return {"designation": [{"value": text} for text in texts]} if texts else {}  # FHIR has no empty lists
