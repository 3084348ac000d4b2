"""Whose dates they are, in whole sentences."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from fhir_coder.model import Note
from fhir_coder.pipeline import Coder

_DATED = ("onset_date", "onset_age", "abatement_date", "abatement_age", "date", "deceased_date", "deceased_age")


def _told(coder: Coder, text: str, **more: Any) -> dict[str, dict[str, Any]]:
    note = Note(text=text, date=datetime(2026, 3, 1, 9, tzinfo=UTC), birth_date=date(1950, 5, 5))
    return {
        entity.text: {name: entity.attributes[name] for name in _DATED if name in entity.attributes}
        for entity in coder(note).entities
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Type 2 diabetes diagnosed in 2015.", {"Type 2 diabetes": {"onset_date": "2015"}}),
        ("He had a cough two weeks ago.", {"cough": {"onset_date": "2026-02-15"}}),
        ("Fatigue since March.", {"Fatigue": {"onset_date": "2026-03"}}),
        ("Asthma since age 12.", {"Asthma": {"onset_age": 12}}),
        ("Two weeks ago he developed a cough.", {"cough": {"onset_date": "2026-02-15"}}),
        ("Pneumonia resolved last month.", {"Pneumonia": {"abatement_date": "2026-02"}}),
        (
            "Breast cancer (2009), in remission since 2011.",
            {"Breast cancer": {"onset_date": "2009", "abatement_date": "2011"}},
        ),
        ("MI 2009; stroke 2011", {"MI": {"onset_date": "2009"}, "stroke": {"onset_date": "2011"}}),
        ("3-day history of cough and fever.", {name: {"onset_date": "2026-02-26"} for name in ("cough", "fever")}),
        ("Cough and fever for 3 days.", {"Cough": {"onset_date": "2026-02-26"}, "fever": {"onset_date": "2026-02-26"}}),
        ("s/p appendectomy 2019.", {"appendectomy": {"date": "2019"}}),
        ("Pacemaker placed in 2018.", {"Pacemaker": {"onset_date": "2018"}}),
        ("Foley catheter was removed on 01/09.", {"Foley catheter": {"abatement_date": "2026-01-09"}}),
        # medications: since when, not how long
        ("Started lisinopril 10 mg daily on 1/5/24.", {"lisinopril": {"onset_date": "2024-01-05"}}),
        ("Metformin 500 mg BID since 2019.", {"Metformin": {"onset_date": "2019"}}),
        ("Stopped metformin in March 2023.", {"metformin": {"abatement_date": "2023-03"}}),
        ("Amoxicillin 500 mg TID for 7 days.", {"Amoxicillin": {}}),
        ("Lisinopril was increased to 20 mg on 2/1/26.", {"Lisinopril": {}}),
        # tests
        ("A1c 8.2% (3/2024), LDL 112 mg/dL (1/2024).", {"A1c": {"date": "2024-03"}, "LDL": {"date": "2024-01"}}),
        ("On 3/14/2024 A1c was 8.2%.", {"A1c": {"date": "2024-03-14"}}),
        ("K 4.2 this morning, Na 138 yesterday.", {"K": {"date": "2026-03-01"}, "Na": {"date": "2026-02-28"}}),
        ("Labs 3/14/2024: A1c 8.2%, K 4.2.", {"A1c": {"date": "2024-03-14"}, "K": {"date": "2024-03-14"}}),
        # relatives
        ("Family history: Mother had breast cancer at 49.", {"breast cancer": {"onset_age": 49}}),
        ("Family history: Father died of MI at 60.", {"MI": {"deceased_age": 60}}),
        ("Family history: Father died at 60 of a stroke.", {"stroke": {"deceased_age": 60}}),
        # what is of something else
        ("Pain worsening over the past 2 weeks.", {"Pain": {}}),
        ("No fever since yesterday.", {"fever": {}}),
        ("Depression, seen in 2015 for chest pain.", {"Depression": {}, "chest pain": {}}),
        ("Follow up for hypertension in 2 weeks.", {"hypertension": {}}),
        ("Hypertension. Return in 2 weeks.", {"Hypertension": {}}),
        ("Hypertension diagnosed in 2035.", {"Hypertension": {}}),  # after the document
        ("Hypertension diagnosed in 1940.", {"Hypertension": {}}),  # before birth
    ],
)  # fmt: skip
def test_dates_of_entities(dictionary_coder: Coder, text: str, expected: dict[str, dict[str, Any]]) -> None:
    told = _told(dictionary_coder, text)
    assert {name: told.get(name) for name in expected} == expected


def test_words_are_kept_where_they_tell_no_date(dictionary_coder: Coder) -> None:
    (asthma,) = dictionary_coder(Note(text="Asthma diagnosed in childhood.")).entities
    assert asthma.attributes["onset"] == "in childhood"
    assert "onset_date" not in asthma.attributes


def test_what_a_relative_died_of(dictionary_coder: Coder) -> None:
    (cancer,) = dictionary_coder(Note(text="Family history: Mother died of breast cancer.")).entities
    assert cancer.attributes["cause_of_death"] is True
    assert cancer.attributes["deceased"] == "died"
