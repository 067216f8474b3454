"""Markdown, as a real parser reads it: what went in comes out, and nothing else."""

import html

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from resnet18.report.document import Code, Items, Line, Section, Strong
from resnet18.report.markdown import blocks_text, escape, table
from resnet18.spec.errors import visible
from resnet18.tables.cells import Column, Table, Text, Value

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
SPECIAL = "\\`*_[]<>|~&$#-+.)1(:/@! \n\ta=\"'{}^%"
PIECES = (
    *("|", "\\|", "\\\\", "``", "&lt;", "&#124;", "<b>", "<!--", "](x)", "![", "**", "__", "~~", "1. ", "# ", "- "),
    *("---", "===", "> ", "https://x.y", "<https://x>", "www.x.y", "a@b.c", "\n\n", "\r", "    ", "$x$", "[^1]", "x"),
)
FRAGMENTS = st.text(SPECIAL, max_size=25) | st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
WRITTEN = {
    **{text: text for text in ("#a", "-5 %", "--- a", "= 3", "1.5", "a 1. b", "a # b - c", "a: b/c", "75.49% (x)")},
    **{text: f"\\{text}" for text in ("# a", "- a", "+", "-- -", "=== ")},
    "a\\b": "a\\\\b",
    "a|b": "a\\|b",
    "<b> &amp; $a$": "\\<b\\> \\&amp; \\$a\\$",
    "1. a": "1\\. a",
    "12) a": "12\\) a",
    "  a": "a",
    "two\nlines": "two lines",
    "Www.a": "Www&#46;a",
    "http://a": "http&#58;//a",
    "a@b": "a&#64;b",
    "a\u2066b\u007fc": "a b c",
}


def words(text):
    """Text as a page shows it: a row of white space is one space."""
    return " ".join(visible(text).split())


def seen(inline):
    """The text of a line, and the kinds of what it is made of."""
    return words("".join(child.content for child in inline.children)), {child.type for child in inline.children}


@pytest.mark.parametrize("text", WRITTEN)
def test_text_is_escaped_where_markdown_would_obey_it_and_nowhere_else(text):
    assert WRITTEN[text] == escape(text)


@pytest.mark.parametrize(
    ("block", "tag"),
    [(Line, "p"), (lambda text: Line(" ", Strong(text)), "p"), (lambda text: Section(text, ()), "h2")],
    ids=["paragraph", "strong", "heading"],
)
@given(FRAGMENTS)
@example("-- -")
@example("--- ")
@example("F #")
@example(" x ")
def test_a_block_shows_the_text_that_went_in(block, tag, text):
    tokens = MARKDOWN.parse(blocks_text([block(text)]))
    if not words(text) and tag == "p":
        assert [] == tokens
        return

    start, inline, _ = tokens
    shown, kinds = seen(inline)
    assert (tag, words(text)) == (start.tag, shown)
    assert kinds <= {"text", "text_special", "strong_open", "strong_close"}


@given(FRAGMENTS)
@example("</summary><img src=x onerror=y>")
def test_what_is_opened_shows_its_title_and_no_tag_of_it(text):
    written = MARKDOWN.render(blocks_text([Section(text, (), is_folded=True)]))
    title = written.removeprefix("<details><summary>").partition("</summary>")[0]

    assert "<" not in title
    assert words(text) == words(html.unescape(title))


@st.composite
def tables(draw):
    columns = draw(st.integers(1, 4))
    heads = [Column(f"{draw(FRAGMENTS)}{at}", draw(st.sampled_from(["text", "number"]))) for at in range(columns)]
    row = st.lists(FRAGMENTS.map(Text), min_size=columns, max_size=columns).map(tuple)
    return Table(tuple(heads), tuple(draw(st.lists(row, min_size=1, max_size=4))))


@given(tables())
def test_a_table_of_hostile_cells_keeps_its_rows_and_columns(content):
    tokens = MARKDOWN.parse(table(content))
    kinds = [token.type for token in tokens]
    rows, columns = len(content.rows), len(content.columns)
    cells = [seen(token) for token in tokens if token.type == "inline"]
    put_in = [column.title for column in content.columns] + [cell.text for row in content.rows for cell in row]

    assert ("table_open", "table_close") == (kinds[0], kinds[-1])
    assert (1 + rows, columns, rows * columns) == tuple(kinds.count(f"{kind}_open") for kind in ("tr", "th", "td"))
    assert [words(text) for text in put_in] == [shown for shown, _ in cells]
    assert set().union(*(made_of for _, made_of in cells)) <= {"text", "text_special"}


def test_a_table_has_golden_bytes():
    content = Table(
        (Column("a|b"), Column("c", "number")),
        ((Text("007"), Text("x|y")), (Text("1e5"), Value(0.5, "percent", (0.25, 0.75)))),
    )

    assert (
        "| a\\|b   |                     c |\n"
        "|:-------|----------------------:|\n"
        "| 007    |                  x\\|y |\n"
        "| 1e5    | 0.50 % \\[0.25, 0.75\\] |" == table(content)
    )


@given(st.text(alphabet="`a <\n|", min_size=1, max_size=20).filter(lambda text: text.strip("` \n") != ""))
def test_code_shows_what_went_in_and_ends_where_it_ends(text):
    (_, inline, _) = MARKDOWN.parse(blocks_text([Line("a ", Code(text), " b")]))

    assert ["text", "code_inline", "text"] == [child.type for child in inline.children]
    assert words(text) == words(inline.children[1].content)


def test_blocks_are_written_in_order_with_headings_by_depth():
    inside = Section("# In*ner", (Section("More", (Items((Line(Strong("a"), " 1. b"),)),), is_folded=True),))
    blocks = [Section("Outer", (Line("- text ", Strong("em*")), inside))]

    assert (
        "## Outer\n\n\\- text **em\\***\n\n### # In\\*ner\n\n"
        "<details><summary>More</summary>\n\n- **a** 1. b\n\n</details>" == blocks_text(blocks)
    )
