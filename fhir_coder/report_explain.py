"""Why each entity of a note has its codes, for a coder to check: `fhir-coder code --explain`.

What is printed holds words of the note. Colour is for terminals only: rich leaves it out elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group
from rich.text import Text

from fhir_coder.model import CODE_SYSTEMS, Assertion, Candidate, CodedNote, Coding, Entity, Remark
from fhir_coder.report import assertion_words

_SHORT_NAMES = {uri: name for name, uri in CODE_SYSTEMS.items()}
_ALTERNATIVES = 3
_SHOWN = 90  # characters of the sentence on each side of the mention
_REMARKS = {
    "excludes1": "Excludes1",
    "code-first": "code first",
    "use-additional": "use additional",
    "combination": "combination",
    "history": "history",
    "family-history": "family history",
    "contradiction": "contradiction",
    "sequence": "sequence",
}


def explanation(coded: CodedNote) -> Group:
    """Return what is to be printed of a coded note: entity by entity, then what concerns the codes together."""
    lines: list[Text] = [Text(coded.note.id, style="bold underline")] if coded.note.id else []
    for entity in coded.entities:
        lines += [*_entity(coded.note.text, entity), Text()]
    if coded.remarks:
        lines.append(Text("The ICD-10-CM codes together", style="bold"))
        lines += [_remark(remark) for remark in coded.remarks]
    return Group(*lines)


def _entity(text: str, entity: Entity) -> Iterator[Text]:
    head = Text(" ".join(entity.text.split()), style="bold")
    section = f"section {entity.section}" if entity.section else "no section"
    yield head.append(f"  at {entity.start}-{entity.end}, {entity.type.value}, {section}", style="not bold dim")
    yield _sentence(text, entity)
    yield Text(f"  assertion: {assertion_words(entity)}{_why(text, entity)}")
    yield from (line for coding in entity.codings for line in _coding(coding))
    if entity.abstained:
        yield Text("  no code: ", style="yellow").append(entity.abstained, style="default")
    alternatives = _alternatives(entity)
    if alternatives:
        yield Text("  instead of" if entity.codings else "  nearest", style="dim")
        yield from (_alternative(candidate) for candidate in alternatives)


def _why(text: str, entity: Entity) -> str:
    """Return what decided on the assertion: words of the note, or the section."""
    cues = [f'"{" ".join(text[cue.start : cue.end].split())}" at {cue.start}-{cue.end}' for cue in entity.cues]
    if cues:
        return f", because of {', '.join(cues)}"
    is_plain = entity.assertion == Assertion() and not entity.attributes.get("allergy")
    return f", because of the section {entity.section}" if entity.section and not is_plain else ""


def _sentence(text: str, entity: Entity) -> Text:
    first = max(entity.sentence[0], entity.start - _SHOWN)
    last = min(entity.sentence[1], entity.end + _SHOWN)
    before, words, behind = (
        " ".join(part.split()) for part in (text[first : entity.start], entity.text, text[entity.end : last])
    )
    line = Text("  ", style="italic")
    line.append("..." if first > entity.sentence[0] else "")
    line.append(f"{before} " if before and text[entity.start - 1].isspace() else before)
    line.append(f"[{words}]", style="bold")
    line.append(f" {behind}" if behind and text[entity.end].isspace() else behind)
    return line.append("..." if last < entity.sentence[1] else "")


def _coding(coding: Coding) -> Iterator[Text]:
    system = _SHORT_NAMES.get(coding.system, coding.system)
    line = Text("  ").append(f"{system} {coding.code} ", style="green").append(coding.display)
    yield line.append(
        f"  (version {coding.version}, score {coding.score:.2f}, {coding.stage}: {coding.matched})", style="dim"
    )
    if not coding.steps:
        yield Text(f"    {coding.reason}")
    for step in coding.steps:
        if not step.before:
            way = step.after
        else:
            way = f"{step.before} -> {step.after}" if step.after != step.before else f"{step.after} stays"
        yield (
            Text("    ")
            .append(f"{way} ", style="cyan")
            .append(f"because {step.reason} ")
            .append(f"[{step.rule}]", style="dim")
        )


def _alternatives(entity: Entity) -> list[Candidate]:
    chosen = {(coding.system, coding.code) for coding in entity.codings}
    others = [each for each in entity.candidates if (each.system, each.code) not in chosen]
    return sorted(others, key=lambda each: -each.score)[:_ALTERNATIVES]


def _alternative(candidate: Candidate) -> Text:
    system = _SHORT_NAMES.get(candidate.system, candidate.system)
    name = f"{system} {candidate.code or '(no code)'} {candidate.display}, {candidate.score:.2f}"
    return Text("    ").append(name).append(f": {candidate.reason or candidate.barred}", style="dim")


def _remark(remark: Remark) -> Text:
    style = "red" if remark.kind in ("excludes1", "contradiction") else "default"
    return Text("  ").append(f"{_REMARKS[remark.kind]}: ", style=style).append(remark.text, style="default")
