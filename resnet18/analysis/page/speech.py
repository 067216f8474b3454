"""In which language a page speaks: its finished English texts are looked up as those of the markdown report are."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from resnet18.analysis.language.document import is_reported, translated_document
from resnet18.analysis.language.edition import UNKNOWN
from resnet18.analysis.language.translation import Found, Translator
from resnet18.analysis.page.blocks import Block, Line, blocks
from resnet18.analysis.page.grid import Cell, Grid
from resnet18.spec.text import plain


@dataclass(frozen=True)
class Speech:
    """What a template asks for every text that it prints; what is not known stays in English, and the page says so."""

    tag: str = "en-GB"
    """As HTML names the language."""
    translator: Translator | None = None
    """None leaves everything in English."""
    fragments: list[Found] = field(default_factory=list)
    """Everything that was looked up, in order."""

    def text(self, english: str) -> str:
        """Return a plain text."""
        if self.translator is None:
            return english
        found = self.translator.find(plain(english))
        self.fragments.append(found)
        return found.text

    def blocks(self, markdown: Iterable[str]) -> tuple[Block, ...]:
        """Return the blocks of lines of markdown, translated as the markdown report is."""
        lines = list(markdown)
        if self.translator is None:
            return blocks(lines)
        done = translated_document("\n".join(lines), self.translator)
        self.fragments.extend(done.fragments)
        return blocks([done.text])

    def sentence(self, markdown: str) -> Line:
        """Return one paragraph of markdown, for a text of a template that has code or emphasis in it."""
        (block,) = self.blocks([markdown])
        return block.lines[0]

    def cell(self, one: Cell) -> str:
        """Return what stands in a cell."""
        return one.text if one.is_name else self.text(one.text)

    def grid(self, table: Grid) -> Grid:
        """Return a table, in which what the lab report printed stays as it was printed."""
        if self.translator is None:
            return table
        reported = {at for at, head in enumerate(table.heads) if is_reported(head.text)}
        heads = tuple(replace(head, text=self.cell(head)) for head in table.heads)
        rows = tuple(self._row(row, reported) for row in table.rows)
        return replace(table, caption=table.caption and self.text(table.caption), heads=heads, rows=rows)

    def _row(self, row: tuple[Cell, ...], reported: Collection[int]) -> tuple[Cell, ...]:
        as_printed = range(1, len(row)) if is_reported(row[0].text) else reported
        return tuple(cell if at in as_printed else replace(cell, text=self.cell(cell)) for at, cell in enumerate(row))

    def words(self, phrases: Iterable[str]) -> dict[str, str]:
        """Return the translations of phrases whose places a script fills, by phrase."""
        if self.translator is None:
            return {}
        own = {phrase: self.translator.catalogue.own(phrase) for phrase in phrases}
        self.fragments.extend(
            Found(phrase, (phrase,)) if text is None else Found(text, phrases=frozenset({phrase}), tells=True)
            for phrase, text in own.items()
        )
        return {phrase: text for phrase, text in own.items() if text is not None}

    @property
    def missing(self) -> tuple[str, ...]:
        """What is not known of all that was looked up until now, each once."""
        return tuple(dict.fromkeys(one for found in self.fragments for one in found.missing))

    @property
    def rest(self) -> str:
        """Return how many texts stayed in English; empty where none did. A template asks for it last."""
        return self.text(UNKNOWN.format(len(self.missing))) if self.missing else ""
