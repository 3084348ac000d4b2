"""What is told of a message besides its content: fields not mapped, and its structure, judged by hl7apy."""

from pathlib import Path

import pytest

from fhir_coder.errors import InputError, SettingsError
from fhir_coder.ingest.files import read_path
from fhir_coder.ingest.hl7v2 import parse
from fhir_coder.ingest.hl7v2_intake import require_default_charset
from fhir_coder.ingest.hl7v2_structure import require_structure
from fhir_coder.ingest.hl7v2_unmapped import counted_place, unmapped_fields
from fhir_coder.settings import Settings

DOCUMENT = "\r".join(
    (
        r"MSH|^~\&|APP|HOSP|US|HERE|20250422||MDM^T02^MDM_T02|M1|P|2.5.1",
        "EVN||20250422",
        "PID|1||844^^^RIVER||Doe^Jane||19790208|F||2106-3||||||M",
        "PV1|1|I",
        "TXA|1|PR|TX|||||||||D9|||||AU",
        r"OBX|1|FT|1^Note||A\.br\B||||||F",
        "ZPI|1|secret",
    )
)


def test_fields_that_nothing_is_made_of_are_told_by_their_places_alone() -> None:
    assert unmapped_fields(parse(DOCUMENT.encode())) == ("PID-10", "PID-16", "TXA-3", "ZPI-1", "ZPI-2")


def test_what_is_counted_for_long_is_of_a_few_kinds() -> None:
    assert [counted_place(place) for place in ("PID-10", "ZPI-2", "PID-99999")] == ["PID-10", "other", "other"]


def test_the_report_comes_with_the_first_intake_of_a_message(tmp_path: Path) -> None:
    path = tmp_path / "a.hl7"
    path.write_text(DOCUMENT)
    (intake,) = read_path(path, Settings())
    assert "ZPI-2" in intake.unmapped


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("version", ["2.5.1", "2.9", ""])
def test_a_right_structure(end: str, version: str) -> None:
    require_structure(parse(DOCUMENT.replace("\r", end).replace("2.5.1", version).encode()))


@pytest.mark.parametrize("missing", ["EVN", "PV1", "TXA"])
def test_a_wrong_structure_is_named_without_its_values(missing: str) -> None:
    lines = [line for line in DOCUMENT.split("\r") if not line.startswith(missing)]
    with pytest.raises(InputError, match=missing) as caught:
        require_structure(parse("\r".join(lines).encode()))
    assert (caught.value.place, caught.value.code) == ("MSH-9", "structure")
    assert "Doe" not in str(caught.value)


def test_a_default_character_set_that_there_is_not_is_named() -> None:
    require_default_charset(Settings(hl7v2_charset="8859/1"))
    with pytest.raises(SettingsError, match="hl7v2_charset"):
        require_default_charset(Settings(hl7v2_charset="KLINGON"))


def test_the_structure_is_judged_where_the_setting_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.hl7"
    path.write_text(DOCUMENT.replace("EVN||20250422\r", ""))
    (lenient,) = read_path(path, Settings())
    (strict,) = read_path(path, Settings(hl7v2_validation="refuse"))
    assert lenient.note is not None
    assert strict.error is not None
