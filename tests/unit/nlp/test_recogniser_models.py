"""Other people's models: whatever their architecture, tokenizer and labels."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import RobertaProcessing
from tokenizers.trainers import BpeTrainer

from fhir_coder.errors import SettingsError
from fhir_coder.model import EntityType
from fhir_coder.nlp.recogniser import Recogniser

TEXT = "Started lisinopril for hypertension.\nDenies chest pain; naïve to 5-FU."


@pytest.fixture(scope="module")
def roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of the RoBERTa kind, which knows a word at the start of a text from one after a space."""
    import torch
    from transformers import RobertaConfig, RobertaForTokenClassification

    folder = tmp_path_factory.mktemp("roberta")
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=ByteLevel.alphabet())
    tokenizer.train_from_iterator([TEXT], trainer)
    tokenizer.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(4)
    config = RobertaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=140,
        id2label={0: "B-DRUG", 1: "I-DRUG", 2: "O", 3: "B-OTHER", 4: "I-OTHER"},
    )
    RobertaForTokenClassification(config).save_pretrained(folder)
    return folder


def test_a_model_of_another_kind(roberta: Path) -> None:
    recogniser = Recogniser.load(roberta, {"DRUG": EntityType.MEDICATION})
    (spans,) = recogniser.find([TEXT * 20])
    assert spans
    for span in spans:
        assert span.type is EntityType.MEDICATION
        assert (TEXT * 20)[span.start : span.end].strip() == (TEXT * 20)[span.start : span.end]
    assert recogniser.find(["", " \n "]) == [[], []]


def test_a_model_without_a_label_of_ours(roberta: Path) -> None:
    with pytest.raises(SettingsError, match=r"none of the model's labels \(B-DRUG, .* is a known type"):
        Recogniser.load(roberta)
