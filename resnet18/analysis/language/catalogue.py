"""The catalogue of a language: TOML files of English phrases and what stands for them, read once.

A phrase may have places: `{n1}` for a number, `{t1}` for a text that is looked up again, `{v1}` for a name or a value,
which is looked up again and stays as it is where nothing is known, `{q1}` for such a name in quotes, `{w1}` for one
word that stays, such as a version. A number in each name tells places of a kind apart.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from resnet18.analysis.language.markup import marked

FOLDER = Path(__file__).parent
LANGUAGES = ("zh",)
"""Each is a folder of TOML files beside this one."""

PLACE = re.compile(r"\{([nqtvw]\d)\}")
_NUMBER = r"[-+]?(?:\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?|inf|nan)%?"
_PATTERNS = {"n": _NUMBER, "q": r"[^\"]+", "t": r".+?", "v": r".+?", "w": r"\S+"}


@dataclass(frozen=True)
class Template:
    """A phrase with places, as a pattern and as the parts of its translation."""

    phrase: str
    pattern: re.Pattern[str]
    needle: str
    """Its longest part that is no place: a text without it cannot match."""
    parts: tuple[str, ...]
    """Of the translation: text, a place's name, text, … in turns."""

    @property
    def has_words(self) -> bool:
        """Whether it is more than what joins others: signs, "or", "and"."""
        return re.search("[A-Za-z]{4}", PLACE.sub("", self.phrase)) is not None

    @property
    def weight(self) -> int:
        """How much it says of a text: characters outside its places, of mere joints only the signs, and each number."""
        text = PLACE.sub("", self.phrase)
        signs = text if self.has_words else re.sub("[A-Za-z]", "", text)
        return len(signs) + 3 * self.phrase.count("{n")


@dataclass(frozen=True)
class Catalogue:
    """What is known in a language."""

    exact: Mapping[str, str]
    templates: tuple[Template, ...]
    """In the order in which they are tried: what says most comes first, of equals the upper one of the file."""

    @property
    def phrases(self) -> frozenset[str]:
        """All English phrases."""
        return frozenset(self.exact) | {one.phrase for one in self.templates}

    def own(self, phrase: str) -> str | None:
        """Return the translation of a phrase with its places still in it, None where it is not known."""
        found = next((one.parts for one in self.templates if one.phrase == phrase), None)
        if found is None:
            return self.exact.get(phrase)
        return "".join(f"{{{part}}}" if at % 2 else part for at, part in enumerate(found))


@cache
def catalogue_of(language: str) -> Catalogue:
    """Return the catalogue of a language.

    Raises:
        ValueError: a phrase stands in two files, or a translation has other places than its phrase.
    """
    found: dict[str, str] = {}
    for path in sorted((FOLDER / language).glob("*.toml")):
        phrases = tomllib.loads(path.read_text(encoding="utf-8"))
        if twice := found.keys() & phrases.keys():
            raise ValueError(f"{path.name}: phrases of another file too: {sorted(twice)}")
        found |= phrases
    return make_catalogue(found)


def make_catalogue(phrases: Mapping[str, str]) -> Catalogue:
    """Return a catalogue of English phrases and their translations."""
    whole = {marked(english): marked(own) for english, own in phrases.items()}
    exact = {english: own for english, own in whole.items() if not PLACE.search(english)}
    templates = [_template(english, own) for english, own in whole.items() if english not in exact]
    return Catalogue(exact, tuple(sorted(templates, key=lambda one: -one.weight)))


def _template(english: str, own: str) -> Template:
    pieces, parts = PLACE.split(english), PLACE.split(own)
    if sorted(pieces[1::2]) != sorted(parts[1::2]):
        raise ValueError(f"{english!r}: its translation has other places")
    pattern = "".join(
        f"(?P<{piece}>{_PATTERNS[piece[0]]})" if at % 2 else re.escape(piece) for at, piece in enumerate(pieces)
    )
    return Template(english, re.compile(pattern), max(pieces[::2], key=len), tuple(parts))
