"""READ FIRST in this folder. The codes of a note's entities, out of their candidates and all that the note says.

    candidates -> start.py         the best of each system (choose.py) that fits the patient (patient.py, context.py)
               -> details.py       ICD-10-CM: what the mention is called with site and severity (names.py), and what
                                   tells the codes of its category apart (axes.py, evidence.py, refine.py)
               -> same_problem.py  what the note says more fully elsewhere
               -> together.py      what two problems are together (combine.py)
               -> history.py       Z codes of what is over, a relative's or screened for
               -> outcome.py       codings, candidates, reasons
               -> conventions.py   what is to be said of all codes together

Every step that changes a code, or could have, is a `Step` with its reason. A step leads only to codes that the store
has and that may be coded; where the note contradicts itself, the code that says less stays, and the step says why.
One code per system and entity: what is written beside it is a candidate with its reason, and a `Remark` of the note.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhir_coder.coding.context import Context, read_context
from fhir_coder.coding.conventions import Conventions
from fhir_coder.coding.details import Details
from fhir_coder.coding.draft import Draft, leaf, spans
from fhir_coder.coding.history import history_remarks, screened
from fhir_coder.coding.outcome import finished
from fhir_coder.coding.same_problem import same_problems
from fhir_coder.coding.start import begun
from fhir_coder.coding.thresholds import Thresholds
from fhir_coder.coding.together import combined
from fhir_coder.model import Entity, Note, Remark, Section
from fhir_coder.terminology.store import ConceptStore

_FIRST_WEEK = 8  # of which Z3A has a code of its own


class NoteChoice:
    """Chooses codes over one store. It may be shared between threads."""

    def __init__(self, store: ConceptStore) -> None:
        self._store = store
        self._details = Details(store)
        self._conventions = Conventions(store)

    def choose(
        self, note: Note, sections: Sequence[Section], entities: Sequence[Entity], least: Thresholds
    ) -> tuple[tuple[Entity, ...], tuple[Remark, ...]]:
        """Return the entities, which have candidates, with codings and reasons, and the remarks on them together.

        An entity that abstained before (its type is not sure) is returned as it is.
        """
        context = read_context(note, sections)
        drafts = [begun(self._store, each, context, least) for each in entities if not each.abstained]
        drafts = [
            self._details.read(note.text, draft, bounds, context)
            for draft, bounds in zip(drafts, _bounds(drafts), strict=True)
        ]
        drafts = same_problems(self._store, self._details.refined(drafts, context))
        drafts, remarks = combined(self._store, note.text, drafts, context)
        drafts = [screened(self._store, note.text, draft) for draft in drafts]
        chosen = iter([finished(self._store, draft, least) for draft in drafts])
        remarks += _contradictions(context)
        remarks += [remark for draft in drafts for remark in history_remarks(self._store, draft)]
        remarks += self._together(drafts)
        remarks += self._weeks(drafts, context)
        return (
            tuple(entity if entity.abstained else next(chosen) for entity in entities),
            tuple(dict.fromkeys(remarks)),
        )

    def _weeks(self, drafts: Sequence[Draft], context: Context) -> list[Remark]:
        """Return the code of the weeks of gestation, which is written beside those of chapter 15 (I.C.21.c.11)."""
        codes = [draft.code for draft in drafts if draft.is_active and draft.code.startswith("O")]
        weeks, sign = context.weeks, context.trimester_sign
        if not codes or weeks is None or sign is None:
            return []
        concept = leaf(self._store, f"Z3A.{weeks:02}" if weeks >= _FIRST_WEEK else "Z3A.01")
        if concept is None:
            return []
        text = f"{concept.code} ({concept.display}) beside {codes[0]}: the note says {sign} (guideline I.C.21.c.11)"
        return [Remark(kind="use-additional", codes=(codes[0], concept.code), text=text, spans=spans([sign]))]

    def _together(self, drafts: Sequence[Draft]) -> list[Remark]:
        """Return what is to be said of the codes of all that the patient has."""
        codes: dict[str, tuple[tuple[int, int], ...]] = {}
        for draft in drafts:
            if draft.code and draft.is_active:
                for code in (draft.code, *(code for code, _ in draft.further)):
                    codes.setdefault(code, ((draft.entity.start, draft.entity.end),))
        remarks = self._conventions.remarks(codes)
        ordered = self._conventions.ordered(list(codes))
        if len(ordered) > 1:
            text = f"in this order: {', '.join(ordered)}"
            remarks.append(Remark(kind="sequence", codes=tuple(ordered), text=text))
        return remarks


def _bounds(drafts: Sequence[Draft]) -> list[tuple[int, int]]:
    """Return for each draft, which stand in order, the end of the one before and the start of the one behind.

    Only those with a code count: "acute exacerbation" behind "asthma" is a mention, too, and says something of it.
    """
    ends, starts = [], []
    end = 0
    for draft in drafts:
        ends.append(end)
        end = draft.entity.end if draft.codings else end
    start = drafts[-1].entity.sentence[1] if drafts else 0
    for draft in reversed(drafts):
        starts.append(start)
        start = draft.entity.start if draft.codings else start
    return list(zip(ends, reversed(starts), strict=True))


def _contradictions(context: Context) -> list[Remark]:
    sign = context.male_pregnancy
    if sign is None:
        return []
    text = f"the patient is male, and the note says {sign}: nothing was taken from that"
    return [Remark(kind="contradiction", codes=(), text=text, spans=spans([sign]))]
