"""Names as hurried people write them: with typos, cut off or without vowels, in another order, without small words."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

_SMALL = frozenset("of the a an and in on with to by for due".split())
_NEIGHBOURS = {
    near: keys.replace(near, "")
    for keys in "qwas wedsa erfds rtgfd tyhgf yujhg uikjh iolkj opl zxsa cvxd bnvg mnj".split()
    for near in keys
}
_SHORTEST = 4  # letters of a word that is changed


def rough(name: str, random: Random) -> str:
    """Return a name as it might be written in a hurry; half of them as they are."""
    chance = random.random()
    words = name.split()
    if chance < 0.5:
        return name
    if chance < 0.8:
        for _ in range(random.choice((1, 1, 2))):
            words = _changed(words, misspelt, random)
    elif chance < 0.9:
        words = _changed(words, _shortened, random)
    elif chance < 0.95:
        random.shuffle(words)
    else:
        words = [word for word in words if word.lower() not in _SMALL] or words
    return " ".join(words)


def _changed(words: list[str], change: Callable[[str, Random], str], random: Random) -> list[str]:
    places = [place for place, word in enumerate(words) if len(word) >= _SHORTEST and word.isalpha()]
    if not places:
        return words
    place = random.choice(places)
    return [*words[:place], change(words[place], random), *words[place + 1 :]]


def misspelt(word: str, random: Random) -> str:
    """Return a word of two letters or more with one typo."""
    at = random.randrange(len(word) - 1)
    letter = random.choice(_NEIGHBOURS.get(word[at].lower(), "aeiou"))
    match random.randrange(5):
        case 0:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        case 1:
            return word[:at] + word[at + 1 :]
        case 2:
            return word[:at] + word[at] + word[at:]
        case 3:
            return word[:at] + letter + word[at:]
        case _:
            return word[:at] + letter + word[at + 1 :]


def _shortened(word: str, random: Random) -> str:
    if random.random() < 0.6:
        return word[: random.randint(3, max(3, len(word) // 2 + 1))]
    return word[0] + "".join(letter for letter in word[1:] if letter.lower() not in "aeiou")
