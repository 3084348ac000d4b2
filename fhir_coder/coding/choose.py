"""Choose the codings of an entity from its candidates, or say why none is chosen."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_coder.model import CODE_SYSTEMS, Candidate, Coding

_SHORT_NAMES = {uri: name for name, uri in CODE_SYSTEMS.items()}
_SIMILAR = frozenset({"lexical", "dense"})
_REASONS = {
    "exact": "the text is a name of the concept: {matched}",
    "normalised": "the text is, but for inflection, spelling or word order, a name of the concept: {matched}",
    "mapped": "a map leads here from the concept {matched}",
    "lexical": "the text is spelt like a name of the concept: {matched}",
    "dense": "the text means nearly the same as a name of the concept: {matched}",
}


def choose(candidates: Sequence[Candidate], min_confidence: float) -> tuple[tuple[Coding, ...], str | None]:
    """Return the best candidate of each code system as a coding, and None; or no codings, and the reason.

    A candidate counts from `min_confidence` on, and only when no other of its system has the same score. A barred one
    is never chosen; where it fits better, nothing that is only similar is chosen in its place.
    """
    ranked: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        ranked.setdefault(candidate.system, []).append(candidate)
    best = {system: _rivals(of_system) for system, of_system in ranked.items()}
    codings = tuple(
        _coding(rivals[0])
        for rivals in best.values()
        if rivals[0].score >= min_confidence and len(rivals) == 1 and not rivals[0].barred
    )
    return (codings, None) if codings else ((), _reason(best, min_confidence))


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
    )


def _reason(best: dict[str, list[Candidate]], min_confidence: float) -> str:
    if not best:
        return "no concept of the loaded releases resembles the text"
    said = []
    for system, rivals in best.items():
        name = _SHORT_NAMES.get(system, system)
        if rivals[0].barred:
            said.append(f"{name}: {rivals[0].code or rivals[0].display} is meant, but {rivals[0].barred}")
        elif rivals[0].score >= min_confidence:
            codes = ", ".join(rival.code for rival in rivals[:3])
            said.append(f"{name}: several concepts fit equally well ({codes})")
        else:
            said.append(f"{name}: the best, {rivals[0].code}, scored {rivals[0].score:.2f}")
    return f"no concept scored at least {min_confidence:.2f} and stood alone; {'; '.join(said)}"
