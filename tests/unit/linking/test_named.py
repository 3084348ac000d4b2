"""What a name leads to: the leaf of a header that says as much, and never a manifestation where there is a disease."""

from __future__ import annotations

import pytest

from fhir_coder.linking.named import Named
from fhir_coder.model import ICD10CM
from fhir_coder.terminology.store import ConceptStore


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nausea and vomiting", "R11.2"),  # R11, and not R11.0, "nausea"
        ("lymphoma", "C85.90"),  # C85.9, and not C85.97, "unspecified, spleen"
        ("keratoconus, unspecified", "H18.609"),  # and not "unspecified, bilateral"
        ("varicella", "B01.9"),
        ("hemorrhoids", "K64.9"),
        ("pyelonephritis", "N12"),  # which N16 is called, too, "in diseases classified elsewhere"
        ("hepatitis B", "B19.10"),  # which the tabular list calls B16.9, the acute one
        ("galactorrhea", "N64.3"),  # and not that of childbirth
    ],
)
def test_the_code_of_a_name(store: ConceptStore, name: str, code: str) -> None:
    best = next(each for each in Named(store).find(name, (ICD10CM,))[ICD10CM] if not each.barred)
    assert best.code == code


def test_a_header_whose_codes_say_more_is_barred(store: ConceptStore) -> None:
    (found,) = Named(store).find("Laceration of lung, unspecified", (ICD10CM,))[ICD10CM]
    assert (found.code, bool(found.barred)) == ("S27.339", True)  # and not "..., sequela"
