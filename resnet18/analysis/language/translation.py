"""One text into another language: whole phrases first, then templates, whose parts are looked up again."""

import re
from dataclasses import dataclass, field

from resnet18.analysis.language.catalogue import Catalogue, Template, catalogue_of

LONGEST = 1_500
"""Characters of a text that templates are tried on: no sentence of the report is longer, a longer one is hostile."""
DEEPEST = 40
"""How often parts are looked up inside parts: a list of the report is shorter."""

_NEUTRAL = re.compile(r"(?:\x02[^\x02]*\x02|[^A-Za-z\x22]|(?<![A-Za-z])(?:s|ms|MiB|GiB|px|n|x|[A-Z]\d+)(?![A-Za-z]))*")
"""Numbers, signs, units and ids of statements are the same in every language; so is code."""
_WIDE = r"[\u2014\u201c\u201d\u2026\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]"
_ENDS_WIDE, _STARTS_WIDE = re.compile(rf"{_WIDE} $"), re.compile(rf" (?={_WIDE})")


@dataclass(frozen=True)
class Found:
    """What became of a text."""

    text: str
    missing: tuple[str, ...] = ()
    """Its parts that are not known and stayed as they were."""
    phrases: frozenset[str] = frozenset()
    """The phrases of the catalogue that it took."""
    tells: bool = False
    """Whether one of them is more than what joins others."""

    @property
    def loss(self) -> int:
        """How much of it is missing, in characters."""
        return sum(map(len, self.missing))


@dataclass(frozen=True)
class Translator:
    """A catalogue beside texts that must stay as they are; what was looked up once is remembered."""

    catalogue: Catalogue
    kept: frozenset[str] = frozenset()
    """Texts of a user's own files."""
    known: dict[str, Found] = field(default_factory=dict, repr=False)

    def find(self, text: str, depth: int = 0) -> Found:
        """Return a text's translation; where nothing is known, the text itself, which is then missing."""
        if text in self.known:
            return self.known[text]
        found = self._whole(text)
        if found is None:
            if depth > DEEPEST or len(text) > LONGEST:
                return Found(text, (text,))
            found = self._by_template(text, depth)
        self.known[text] = found
        return found

    def _whole(self, text: str) -> Found | None:
        """Return what is known of a text as a whole; a title may also stand in lower case inside a sentence."""
        for one in (text, text[:1].upper() + text[1:]):
            if one in self.kept:
                return Found(text)
            if one in self.catalogue.exact:
                return Found(self.catalogue.exact[one], phrases=frozenset({one}), tells=True)
        return Found(text) if _NEUTRAL.fullmatch(text) else None

    def _by_template(self, text: str, depth: int) -> Found:
        """Return the translation by the first template that leaves nothing out, else by that which leaves the least."""
        best = Found(text, (text,))
        for template in self.catalogue.templates:
            if template.needle in text and (match := template.pattern.fullmatch(text)):
                found = self._filled(template, match, depth)
                if not found.missing:
                    return found
                if found.tells:  # a comma between two unknown texts does not
                    best = min(best, found, key=lambda one: one.loss)
        return best

    def _filled(self, template: Template, match: re.Match[str], depth: int) -> Found:
        parts = [
            self._part(part, match[part], depth) if at % 2 else Found(part) for at, part in enumerate(template.parts)
        ]
        text = parts[0].text
        for one in parts[1:]:
            text = _joined(text, one.text)
        missing = tuple(one for part in parts for one in part.missing)
        phrases = frozenset({template.phrase}).union(*(part.phrases for part in parts))
        return Found(text, missing, phrases, template.has_words or any(part.tells for part in parts))

    def _part(self, place: str, text: str, depth: int) -> Found:
        if place[0] in "nw":
            return Found(text)
        found = self.find(text, depth + 1)
        return Found(text) if place[0] in "qv" and found.missing else found


def _joined(before: str, after: str) -> str:
    """Return two pieces as one: a space at the seam goes where both of its neighbours are Chinese."""
    if _ENDS_WIDE.search(before) and re.match(_WIDE, after):
        return before[:-1] + after
    if before and re.match(_WIDE, before[-1]) and _STARTS_WIDE.match(after):
        return before + after[1:]
    return before + after


def translator(language: str, kept: frozenset[str] = frozenset()) -> Translator:
    """Return what translates into a language.

    Args:
        language: one of `LANGUAGES`.
        kept: texts of a user's own files, which stay as they are.
    """
    return Translator(catalogue_of(language), kept)


def translated(text: str, language: str = "zh") -> str:
    """Return one fragment of the report (a heading, a cell, a line) in another language, or as it is if unknown."""
    return translator(language).find(text).text


def missing(text: str, language: str = "zh") -> tuple[str, ...]:
    """Return the parts of a fragment that are not known in a language."""
    return translator(language).find(text).missing
