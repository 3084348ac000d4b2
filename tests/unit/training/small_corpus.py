"""Twenty sentences with marks, written for these tests, in every format that is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

# A sentence, and what is marked in it.
SENTENCES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("She has asthma.", (("asthma", "Disease"),)),
    ("He takes aspirin for gout.", (("aspirin", "Chemical"), ("gout", "Disease"))),
    ("No pneumonia was seen.", (("pneumonia", "Disease"),)),
    ("Metformin was stopped.", (("Metformin", "Chemical"),)),
    ("The patient denies any trouble.", ()),
    ("History of stroke and asthma.", (("stroke", "Disease"), ("asthma", "Disease"))),
    ("Started warfarin after the stroke.", (("warfarin", "Chemical"), ("stroke", "Disease"))),
    ("Her gout is better on allopurinol.", (("gout", "Disease"), ("allopurinol", "Chemical"))),
    ("Heart failure was treated with digoxin.", (("Heart failure", "Disease"), ("digoxin", "Chemical"))),
    ("He was sent home.", ()),
    ("Digoxin was continued.", (("Digoxin", "Chemical"),)),
    ("Aspirin makes her asthma worse.", (("Aspirin", "Chemical"), ("asthma", "Disease"))),
    ("Pneumonia was treated with amoxicillin.", (("Pneumonia", "Disease"), ("amoxicillin", "Chemical"))),
    ("No amoxicillin because of the rash.", (("amoxicillin", "Chemical"), ("rash", "Disease"))),
    ("The rash is gone.", (("rash", "Disease"),)),
    ("He drinks coffee.", ()),
    ("Lung cancer in the family.", (("Lung cancer", "Disease"),)),
    ("Warfarin and aspirin together.", (("Warfarin", "Chemical"), ("aspirin", "Chemical"))),
    ("Mother had heart failure.", (("heart failure", "Disease"),)),
    ("Follow up in two weeks.", ()),
)


def _marks(sentence: str, marks: tuple[tuple[str, str], ...]) -> Iterator[tuple[int, int, str]]:
    for text, label in marks:
        start = sentence.index(text)
        yield start, start + len(text), label


def _pubtator(folder: Path) -> Path:
    records = []
    for number, (sentence, marks) in enumerate(SENTENCES, 1):
        rows = [f"{number}|t|{sentence}", f"{number}|a|"]
        rows += [
            f"{number}\t{start}\t{end}\t{sentence[start:end]}\t{label}\tD1"
            for start, end, label in _marks(sentence, marks)
        ]
        records.append("\n".join(rows) + "\n")
    path = folder / "small.pubtator"
    path.write_text("\n".join(records))
    return path


def _conll(folder: Path) -> Path:
    rows = []
    for sentence, marks in SENTENCES:
        spans = list(_marks(sentence, marks))
        position = 0
        for word in sentence.replace(".", " .").split():
            start = sentence.index(word, position)
            position = start + len(word)
            tag = next(
                (f"{'B' if start == first else 'I'}-{label}" for first, last, label in spans if first <= start < last),
                "O",
            )
            rows.append(f"{word} {tag}")
        rows.append("")
    path = folder / "small.conll"
    path.write_text("\n".join(rows) + "\n")
    return path


def _brat(folder: Path) -> Path:
    place = folder / "small"
    place.mkdir()
    for number, (sentence, marks) in enumerate(SENTENCES, 1):
        (place / f"{number}.txt").write_text(sentence)
        rows = [
            f"T{at}\t{label} {start} {end}\t{sentence[start:end]}\n"
            for at, (start, end, label) in enumerate(_marks(sentence, marks), 1)
        ]
        (place / f"{number}.ann").write_text("".join(rows))
    return place


def _label_studio(folder: Path) -> Path:
    tasks = [
        {
            "id": number,
            "data": {"text": sentence},
            "annotations": [
                {
                    "id": number,
                    "result": [
                        {
                            "id": f"r{start}",
                            "type": "labels",
                            "from_name": "label",
                            "to_name": "text",
                            "value": {"start": start, "end": end, "text": sentence[start:end], "labels": [label]},
                        }
                        for start, end, label in _marks(sentence, marks)
                    ],
                }
            ],
        }
        for number, (sentence, marks) in enumerate(SENTENCES, 1)
    ]
    path = folder / "small.json"
    path.write_text(json.dumps(tasks))
    return path


def _prodigy(folder: Path) -> Path:
    rows = [
        {
            "text": sentence,
            "answer": "accept",
            "spans": [{"start": start, "end": end, "label": label} for start, end, label in _marks(sentence, marks)],
        }
        for sentence, marks in SENTENCES
    ]
    path = folder / "small.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


FORMATS = {
    "pubtator": _pubtator,
    "conll": _conll,
    "brat": _brat,
    "label-studio": _label_studio,
    "prodigy": _prodigy,
}
