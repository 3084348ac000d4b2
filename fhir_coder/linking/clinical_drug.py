"""An ingredient or brand, with the strength and dose form that the note states, as one clinical drug of RxNorm.

Only where a full release of RxNorm is loaded, both are stated, and exactly one drug fits: a dose ("takes 10 mg") is not
a strength. Source: RxNorm technical documentation, term types SCD and SBD.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from fhir_coder.model import RXNORM
from fhir_coder.tables import read_table, split
from fhir_coder.terminology.store import ConceptStore, StoredConcept
from fhir_coder.terminology.strength import normal_strength

_SEPARATOR = "/"  # in Drug.ingredients and Drug.strengths


def clinical_drug(store: ConceptStore, concept: StoredConcept, strength: str, form: str) -> StoredConcept | None:
    """Return the one active clinical drug of an ingredient, combination or brand with this strength and form, or None.

    A brand gives its branded drug, an ingredient the generic one.
    """
    brand_of = _related(store, concept.code, "tradename-of")
    ingredients = [code for each in brand_of or [concept.code] for code in _ingredients(store, each)]
    wanted = _amounts(normal_strength(strength))
    drugs = [
        drug
        for drug in store.drugs(RXNORM, _SEPARATOR.join(sorted(set(ingredients), key=int)))
        if _amounts(drug.strengths) == wanted
        and drug.form in _forms().get(form, ())
        and drug.brand == (concept.code if brand_of else "")
    ]
    found = [store.concept(RXNORM, drug.code) for drug in drugs]
    active = [drug for drug in found if drug is not None and drug.codable]
    return active[0] if wanted and len(active) == 1 else None


def _ingredients(store: ConceptStore, code: str) -> list[str]:
    """Return the RXCUIs of a code's ingredients: those that the maps state, else itself."""
    return _related(store, code, "has-ingredient") or [code]


def _related(store: ConceptStore, code: str, relationship: str) -> list[str]:
    rows = store.map_rows(RXNORM, code, RXNORM)
    return [row.target_code for row in rows if row.relationship == relationship and row.target_code.isdigit()]


def _amounts(strengths: str) -> list[str]:
    """Return the strengths in an order of their own: a note names the ingredients in another order than RxNorm."""
    return sorted(strengths.split(_SEPARATOR)) if strengths else []


@cache
def _forms() -> Mapping[str, tuple[str, ...]]:
    """Return the dose forms of RxNorm, in lower case, for each form of `mappings/medication_forms.csv`."""
    rows = read_table("terminology/dose_forms.csv", ("form", "rxnorm"))
    return MappingProxyType({row["form"]: split(row["rxnorm"]) for row in rows})
