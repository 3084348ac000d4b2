"""Choose the codings of an entity from its candidates, or say why none is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fhir_coder.coding.thresholds import Thresholds
from fhir_coder.model import CODE_SYSTEMS, Candidate, Coding

_SHORT_NAMES = {uri: name for name, uri in CODE_SYSTEMS.items()}
_SIMILAR = frozenset({"lexical", "dense"})
_REASONS = {
    "exact": "the text is a name of the concept: {matched}",
    "normalised": "the text is, but for inflection, spelling or word order, a name of the concept: {matched}",
    "mapped": "a map leads here from the concept {matched}",
    "repaired": "the text is, when its misspelt or shortened words are repaired, a name of the concept: {matched}",
    "lexical": "the text is spelt like a name of the concept: {matched}",
    "dense": "the text means nearly the same as a name of the concept: {matched}",
}


def choose(candidates: Sequence[Candidate], least: Thresholds) -> tuple[tuple[Coding, ...], str | None]:
    """Return the best candidate of each code system as a coding, and None; or no codings, and the reason.

    A candidate counts from the `least` score of its system on, and only when no other of its system has the same score.
    A barred one is never chosen; where it fits better, nothing that is only similar is chosen in its place.
    """
    ranked: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        ranked.setdefault(candidate.system, []).append(candidate)
    best = {system: _rivals(of_system) for system, of_system in ranked.items()}
    codings = tuple(
        _coding(rivals[0])
        for rivals in best.values()
        if rivals[0].score >= least[rivals[0].system] and len(rivals) == 1 and not rivals[0].barred
    )
    return (codings, None) if codings else ((), _reason(best, least))


def _rivals(ranked: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates of one system that may be chosen and share the best score, or the barred best one."""
    eligible = [each for each in ranked if not each.barred and not (ranked[0].barred and each.stage in _SIMILAR)]
    return [each for each in eligible if each.score == eligible[0].score] or [ranked[0]]


def _coding(candidate: Candidate) -> Coding:
    return Coding(
        system=candidate.system,
        code=candidate.code,
        display=candidate.display,
        version=candidate.version,
        score=candidate.score,
        stage=candidate.stage,
        reason=_REASONS[candidate.stage].format(matched=candidate.matched),
        matched=candidate.matched,
    )


def explained(candidates: Sequence[Candidate], codings: Sequence[Coding], least: Thresholds) -> tuple[Candidate, ...]:
    """Return the candidates, each with why it was chosen or why it was not."""
    chosen = {coding.system: coding for coding in codings}
    best = {each.system: max(other.score for other in candidates if other.system == each.system) for each in candidates}
    return tuple(
        replace(each, reason=each.reason or _why(each, chosen.get(each.system), best[each.system], least))
        for each in candidates
    )


def _why(candidate: Candidate, chosen: Coding | None, best: float, least: Thresholds) -> str:
    if chosen and chosen.code == candidate.code:
        return f"chosen: {chosen.steps[-1].reason if chosen.steps else chosen.reason}"
    if candidate.barred:
        return f"not chosen: {candidate.barred}"
    if candidate.score < least[candidate.system]:
        return f"not chosen: its score is below {least[candidate.system]:.2f}"
    if chosen is None:
        return "not chosen: it does not stand alone" if candidate.score == best else "not chosen: another fits better"
    passed = next(
        (step for step in chosen.steps if step.before == candidate.code and step.after != candidate.code), None
    )
    if passed:
        return f"gave way to {passed.after}: {passed.reason}"
    if candidate.score < chosen.score:
        return (
            f"not chosen: {chosen.matched or chosen.display} fits better ({candidate.score:.2f} < {chosen.score:.2f})"
        )
    return f"not chosen: the context speaks for {chosen.code}"


def _reason(best: dict[str, list[Candidate]], least: Thresholds) -> str:
    if not best:
        return "no concept of the loaded releases resembles the text"
    said = []
    for system, rivals in best.items():
        name = _SHORT_NAMES.get(system, system)
        if rivals[0].barred:
            said.append(f"{name}: {rivals[0].code or rivals[0].display} is meant, but {rivals[0].barred}")
        elif rivals[0].score >= least[system]:
            codes = ", ".join(rival.code for rival in rivals[:3])
            said.append(f"{name}: several concepts fit equally well ({codes})")
        else:
            said.append(f"{name}: the best, {rivals[0].code}, scored {rivals[0].score:.2f}, below {least[system]:.2f}")
    return f"no concept scored well enough and stood alone; {'; '.join(said)}"
