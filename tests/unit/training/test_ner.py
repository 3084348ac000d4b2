"""`fhir-coder train ner`: from every format of corpora to a model that loads."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhir_coder.cli import app
from fhir_coder.errors import CorpusError, FhirCoderError, TrainingError
from fhir_coder.model import EntityType
from fhir_coder.nlp.recogniser import Recogniser
from fhir_coder.training.fit import Recipe
from fhir_coder.training.ner import Epoch, Job, train_ner
from tests.unit.training.small_corpus import FORMATS, SENTENCES

QUICK = Recipe(epochs=1, steps=2, threads=1)


def _train(job: Job) -> list[Epoch]:
    return train_ner(job, lambda _: None, lambda *_: None)


@pytest.mark.parametrize("format_", FORMATS)
def test_two_steps_from_every_format_make_a_model_that_loads(tiny: Path, tmp_path: Path, format_: str) -> None:
    corpus = FORMATS[format_](tmp_path)
    out = tmp_path / "out"
    (epoch,) = _train(Job(corpora=[corpus], out=out, base=tiny, recipe=QUICK))
    assert epoch.loss > 0
    texts = [sentence for sentence, _ in SENTENCES]
    found = Recogniser.load(out).find(texts)
    assert len(found) == len(texts)
    assert {span.type for spans in found for span in spans} <= {
        EntityType.DISEASE,
        EntityType.SYMPTOM,
        EntityType.MEDICATION,
    }


def test_enough_steps_learn_the_corpus(tiny: Path, tmp_path: Path) -> None:
    corpus = FORMATS["pubtator"](tmp_path)
    recipe = Recipe(epochs=120, rate=1e-2, head_rate=1e-2, dropout=0.0, rough=0.0, tokens=128, threads=1)
    epochs = _train(Job(corpora=[corpus], out=tmp_path / "out", base=tiny, recipe=recipe))
    assert epochs[-1].loss < 0.5 * epochs[0].loss
    sentence = "He takes aspirin for gout."
    (spans,) = Recogniser.load(tmp_path / "out").find([sentence])
    assert {(sentence[span.start : span.end], span.type) for span in spans} >= {("aspirin", EntityType.MEDICATION)}


def test_the_int8_model_does_the_same(tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    corpus = FORMATS["brat"](tmp_path)
    out = tmp_path / "out"
    _train(Job(corpora=[corpus], out=out, base=tiny, recipe=QUICK, int8=True))
    assert {path.name for path in out.iterdir()} == {"model.onnx", "model.safetensors", "config.json", "tokenizer.json"}
    texts = [sentence for sentence, _ in SENTENCES]
    rounded = Recogniser.load(out).find(texts)
    (out / "model.onnx").unlink()
    assert len(rounded) == len(Recogniser.load(out).find(texts))


def test_what_is_measured_on_is_not_trained_on(tiny: Path, tmp_path: Path) -> None:
    said: list[str] = []
    dev = FORMATS["brat"](tmp_path)
    for path in sorted(dev.iterdir())[6:]:  # three notes stay
        path.unlink()
    job = Job(corpora=[FORMATS["prodigy"](tmp_path)], dev=[dev], out=tmp_path / "out", base=tiny, recipe=QUICK)
    (epoch,) = train_ner(job, said.append, lambda *_: None)
    assert said[0] == "small: 3 notes are left out, for they are measured on"
    assert "all" in epoch.scores["small"]


def test_an_interruption_keeps_the_last_whole_epoch(tiny: Path, tmp_path: Path) -> None:
    corpus = FORMATS["conll"](tmp_path)
    out = tmp_path / "out"
    said: list[str] = []

    def advance(step: int, total: int) -> None:
        if step > total // 2:
            raise KeyboardInterrupt

    recipe = Recipe(epochs=4, tokens=64, threads=1)
    with pytest.raises(KeyboardInterrupt):
        train_ner(Job(corpora=[corpus], out=out, base=tiny, recipe=recipe), said.append, advance)
    assert said
    Recogniser.load(out).find(["asthma"])


def test_wrong_inputs_are_named(tiny: Path, tmp_path: Path) -> None:
    corpus = FORMATS["conll"](tmp_path)
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "file").write_text("")
    with pytest.raises(TrainingError, match="is there already: name a new folder"):
        _train(Job(corpora=[corpus], out=taken, base=tiny, recipe=QUICK))
    with pytest.raises(FhirCoderError, match="no tokenizer can be loaded"):
        _train(Job(corpora=[corpus], out=tmp_path / "out", base=taken, recipe=QUICK))
    unknown = tmp_path / "unknown.conll"
    unknown.write_text("today B-Date\n. O\n")
    with pytest.raises(TrainingError, match="no label of these corpora is a known type"):
        _train(Job(corpora=[unknown], out=tmp_path / "out", base=tiny, recipe=QUICK))
    said: list[str] = []
    unknown.write_text("Berlin B-PLACE\n. O\naspirin B-Chemical\n")
    train_ner(Job(corpora=[unknown], out=tmp_path / "named", base=tiny, recipe=QUICK), said.append, lambda *_: None)
    assert "unknown.conll: 1 annotations are left out; the first: unknown.conll:1: the label is neither" in said[0]
    with pytest.raises(CorpusError, match=r"gone\.conll"):
        _train(Job(corpora=[tmp_path / "gone.conll"], out=tmp_path / "out", base=tiny, recipe=QUICK))


def test_the_command(tiny: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "own.conll"
    corpus.write_text("Aspirin B-DRUG\nfor O\nBerlin B-PLACE\n. O\n\n")
    out = tmp_path / "out"
    arguments = ["train", "ner", str(corpus), "--out", str(out), "--base", str(tiny), "--steps", "1"]
    arguments += ["--label", "PLACE=none"]
    result = CliRunner().invoke(app, [*arguments, "--label", "DRUG=medication", "--dev", str(_other(tmp_path))])
    assert result.exit_code == 0, result.output
    assert "medication" in result.stdout
    assert (out / "model.safetensors").is_file()
    result = CliRunner().invoke(app, [*arguments, "--label", "DRUG=pill"])
    assert result.exit_code == 2


def _other(folder: Path) -> Path:
    path = folder / "other.conll"
    path.write_text("No O\nwarfarin B-DRUG\n. O\n\n")
    return path
