"""The trained recogniser: exact offsets, long notes, hostile notes, and the same as the model that was trained."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_coder.errors import SettingsError
from fhir_coder.model import EntityType
from fhir_coder.nlp.recogniser import Recogniser, Tokens, embedded_recogniser, recogniser_folder
from fhir_coder.nlp.tags import Scores, TagSet
from fhir_coder.nlp.words import Pieces

FOLDER = embedded_recogniser()
PARITY = Path(__file__).parents[2] / "fixtures" / "ner_parity.json"
NOTE = (
    "67 yo woman with type 2 diabetes and chronic kidney disease. Denies chest pain, fever.\n"
    "Started lisinopril 10 mg daily.\n"
)


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    """The embedded recogniser."""
    return Recogniser.load(FOLDER)


def _found(recogniser: Recogniser, text: str) -> set[tuple[str, str]]:
    return {(text[span.start : span.end], str(span.type)) for span in recogniser.find([text])[0]}


def test_it_finds_what_a_note_mentions(recogniser: Recogniser) -> None:
    found = _found(recogniser, NOTE)
    assert {
        ("type 2 diabetes", "disease"),
        ("chronic kidney disease", "disease"),
        ("chest pain", "symptom"),
        ("fever", "symptom"),
        ("lisinopril", "medication"),
    } <= found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(
        st.text(max_size=120) | st.sampled_from((NOTE, "PMH: htn, dm2 s/p cabg", "Ünïcödé asthma")), max_size=4
    )
)
def test_spans_are_parts_of_the_text_in_order(recogniser: Recogniser, texts: list[str]) -> None:
    found = recogniser.find(texts)
    assert len(found) == len(texts)
    for text, spans in zip(texts, found, strict=True):
        previous = 0
        for span in spans:
            assert previous <= span.start < span.end <= len(text)
            assert 0 <= span.score <= 1
            assert text[span.start : span.end].strip() == text[span.start : span.end]
            previous = span.end


def test_offsets_survive_what_tokenizers_change(recogniser: Recogniser) -> None:
    """Accents, wide letters and control characters are dropped or changed by the tokenizer, offsets are not."""
    text = "\ufeff\x00 Señora — ＦＥＶＥＲ \t and\u200b ménière, took aspirin 🙂 for fever"
    (spans,) = recogniser.find([text])
    assert text.index("aspirin") in {span.start for span in spans}
    assert text.rindex("fever") in {span.start for span in spans}


def test_a_batch_is_the_same_as_one_by_one(recogniser: Recogniser) -> None:
    texts = [NOTE, "", "Denies cough.", NOTE * 5, "K 4.2, started metformin for diabetes", " \n"]
    assert recogniser.find(texts) == [spans for text in texts for spans in recogniser.find([text])]


def test_a_long_note_gives_the_same_as_its_parts(recogniser: Recogniser) -> None:
    paragraph = NOTE * 3  # more than a window
    once = [(span.start, span.end, span.type) for span in recogniser.find([paragraph])[0]]
    times = 40
    long = [(span.start, span.end, span.type) for span in recogniser.find([paragraph * times])[0]]
    expected = {
        (start + turn * len(paragraph), end + turn * len(paragraph), type_)
        for turn in range(times)
        for start, end, type_ in once
    }
    assert len(expected ^ set(long)) <= 0.15 * len(expected)  # words near an edge have other neighbours


def test_words_are_judged_by_the_window_whose_edge_is_far() -> None:
    """Without a sentence's end anywhere, windows overlap; each word is judged once, by its own position."""
    words = [f"w{number}" for number in range(600)]

    def network(ids: Tokens, mask: Tokens) -> Scores:
        scores = np.zeros((*ids.shape, 3), dtype=np.float32)
        scores[..., 0] = 5
        scores[ids == marked[0], 1] = 20
        return scores

    pieces = Pieces(FOLDER)
    marked = pieces.of(" pain")
    assert len(marked) == 1
    for position in (0, 40, 63, 64, 100, 300, 599):
        text = " ".join(["pain" if at == position else word for at, word in enumerate(words)])
        found = Recogniser(pieces, TagSet(("O", "B-gene", "I-gene"), {}), network, mean=True).find([text])
        assert [(span.start, text[span.start : span.end]) for span in found[0]] == [(text.index("pain"), "pain")]


@pytest.mark.parametrize(
    "text",
    [
        "a" * 10_000_000,
        "(" * 10_000_000,
        "9" * 5_000,
        "9 " * 500_000,
        "😀" * 100_000,
        "\x00\x07\x1b" * 100_000,
        "שלום עולם " * 20_000,
        "\u202eabc\u202c " * 3_000,
        ("x" * 49 + " ") * 600,
        "é" * 100_000,
        "_" * 100_000,
    ],
    ids=lambda text: f"{text[:3]!r} x {len(text)}",
)
def test_hostile_notes_take_seconds(recogniser: Recogniser, text: str) -> None:
    started = time.monotonic()
    (spans,) = recogniser.find([text])
    assert time.monotonic() - started < 30
    assert all(text[span.start : span.end] for span in spans)


def test_time_grows_with_the_text(recogniser: Recogniser) -> None:
    """At most a millisecond of CPU per 5 characters, whatever they are: one token each is the worst case."""
    text = "a ( " * 5_000
    started = time.process_time()
    recogniser.find([text])
    assert time.process_time() - started < len(text) / 5 / 1000


def test_it_does_what_the_floating_point_model_does(recogniser: Recogniser) -> None:
    """The fixture holds what the model found before its weights were rounded to int8."""
    right = there = 0
    for case in json.loads(PARITY.read_text(encoding="utf-8")):
        found = {(span.start, span.end, str(span.type)) for span in recogniser.find([case["text"]])[0]}
        expected = {(start, end, type_) for start, end, type_, _ in case["spans"]}
        right += len(found & expected)
        there += len(found | expected)
    assert there > 50
    assert right >= 0.9 * there


def test_the_model_card_names_the_artefact() -> None:
    digest = hashlib.sha256((FOLDER / "model.onnx").read_bytes()).hexdigest()
    assert digest in (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 30_000_000
    assert not [path for path in FOLDER.iterdir() if path.suffix in {".pkl", ".pickle", ".bin", ".pt", ".pth"}]


def test_it_loads_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert Recogniser.load(FOLDER).find([NOTE])[0]


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"setting recogniser: .* holds no token classifier"):
        Recogniser.load(tmp_path)
    (tmp_path / "config.json").write_text((FOLDER / "config.json").read_text())
    (tmp_path / "tokenizer.json").write_text((FOLDER / "tokenizer.json").read_text())
    with pytest.raises(SettingsError, match="no token classifier can be loaded"):
        Recogniser.load(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(SettingsError, match=r"model\.onnx cannot be loaded"):
        Recogniser.load(tmp_path)


def test_the_setting(tmp_path: Path) -> None:
    assert recogniser_folder("embedded") == FOLDER
    assert recogniser_folder("none") is None
    assert recogniser_folder(str(tmp_path)) == tmp_path
    with pytest.raises(SettingsError, match="'gone' is no folder"):
        recogniser_folder("gone")


def test_the_types_are_those_of_the_package() -> None:
    labels = json.loads((FOLDER / "config.json").read_text())["id2label"].values()
    types = {re.sub("^[BI]-", "", label) for label in labels} - {"O"}
    assert types == set(EntityType) - {EntityType.VITAL_SIGN}
