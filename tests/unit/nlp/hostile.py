"""Text that is no note: what the reader must get through in time that grows with its length alone."""

from __future__ import annotations

# Each is repeated to the length that is wanted.
HOSTILE = {
    "one line": "The patient denies fever and cough but has chest pain and takes aspirin 81 mg daily for it ",
    "no spaces": "abcdefghij",
    "names without spaces": "fever,cough,",
    "emoji": "😀 fever 🎉",
    "right to left": "حمى و سعال שלום ",
    "mojibake": "â€œfeverâ€\x9d Ã©",
    "control characters": "\x00\x01\x1b[fever\x07",
    "digits": "1234567890",
    "numbers": "12 34 ",
    "brackets": "(",
    "colons": ":::",
    "titles": "PMH: ",
    "titles in a line": ".,ALLERGIES:",
    "blank lines": " \r\n",
    "tabs": "\t",
    "abbreviations": "Dr. ",
    "list numbers": "1. ",
    "initials": "A. B. ",
    "questions": "fever? no ",
    "doubts": "?fever ",
    "negations": "no fever but ",
    "bullets": "Denies:\n- fever\n",
    "boxes": "[ ] fever [x] cough ",
    "semicolons": "no fever; chills; ",
    "values": "k 4.2 BP 120/80 ",
    "letters": "K ",
    "combining marks": "é́́",
    "odd spaces": "\u00a0fever\u2003\x0b\x0c\u2028",
    "capitals": "FEVER ",
    "folding": "ß İ ﬃ ",
    "signs": "+cough -fever ",
    "tumours": "left colon carcinoma ",
    "allergens": "cat allergy, stop codeine, ",
    "vaccines": "vaccinated: influenza, pneumonia ",
    "replacements": "warfarin -> changed to aspirin ",
    "risks": "risks, side effects discussed including ",
    "commas": "X.,MEDICATIONS,1. ",
}

SPANISH = (
    "Paciente de 54 años con antecedentes de asma. No refiere tos ni fiebre. Acude por dolor de dos horas, "
    "con la mano en el pecho. A la exploración, buen estado. Se le da el alta sin más. Come pan a la una."
)


def of_length(unit: str, length: int) -> str:
    """Return a unit, repeated to a length."""
    return (unit * (length // len(unit) + 1))[:length]
