"""Properties of text in a report, each as a real Markdown parser reads it: what went in comes out, and nothing else."""

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from resnet18.spec.errors import plain
from resnet18.tables.markdown import code, escape, table

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
SPECIAL = "\\`*_[]<>|~&$#-+.)1(:/@! \n\ta=\"'{}^%"
HOSTILE = st.text(alphabet=SPECIAL, max_size=25) | st.lists(
    st.sampled_from(
        [
            *("|", "\\|", "\\\\", "``", "&lt;", "&#124;", "<b>", "<!--", "](x)", "![", "**", "__", "~~", "1. ", "# "),
            *("- ", "---", "===", "> ", "https://x.y", "www.x.y", "a@b.c", "\n\n", "\r", "    ", "$x$", "[^1]"),
            *("<https://x>", "x"),
        ]
    ),
    max_size=8,
).map("".join)
WRITTEN = {
    "a\\b": "a\\\\b",
    "a|b": "a\\|b",
    "# a": "\\# a",
    "###### a": "\\###### a",
    "####### a": "####### a",
    "#a": "#a",
    "#": "\\#",
    "- a": "\\- a",
    "+ a": "\\+ a",
    "-5 %": "-5 %",
    "+": "\\+",
    "--": "\\--",
    "-----": "\\-----",
    "---a": "---a",
    "--- ": "\\--- ",
    "-- -": "\\-- -",
    "--- a": "--- a",
    "=": "\\=",
    "=== ": "\\=== ",
    "= 3": "= 3",
    "1. a": "1\\. a",
    "12) a": "12\\) a",
    "123456789.": "123456789\\.",
    "1234567890. a": "1234567890. a",
    "1.5": "1.5",
    "a 1. b": "a 1. b",
    "a # b - c": "a # b - c",
    "  a": "a",
    "Www.a": "Www&#46;a",
    "awww.a": "awww.a",
    "http://a": "http&#58;//a",
    "a: b/c": "a: b/c",
    "a@b": "a&#64;b",
    "a\u2066b\u007fc": "a b c",
}


def words(text):
    """Text as a page shows it: a row of white space is one space."""
    return " ".join(plain(text).split())


def seen(inline):
    """The text of a line, and the kinds of what it is made of."""
    return words("".join(child.content for child in inline.children)), {child.type for child in inline.children}


@pytest.mark.parametrize("text", WRITTEN)
def test_text_is_escaped_where_markdown_would_obey_it_and_nowhere_else(text):
    """To the byte: a minus before a number stays, a heading does not."""
    assert WRITTEN[text] == escape(text)


@given(HOSTILE)
@example("-- -")
@example("--- ")
def test_a_paragraph_shows_the_text_that_went_in(text):
    """At the start of a line, where headings, lists and rules begin."""
    tokens = MARKDOWN.parse(escape(text))
    if not words(text):
        assert [] == tokens
        return

    assert ["paragraph_open", "inline", "paragraph_close"] == [token.type for token in tokens]
    shown, kinds = seen(tokens[1])
    assert words(text) == shown
    assert kinds <= {"text", "text_special"}


@given(HOSTILE)
@example("===")
@example("-- ")
@example("--- -")
def test_a_line_within_a_paragraph_shows_the_text_that_went_in(text):
    """Neither does it make a heading of the line above it, nor a rule between them."""
    tokens = MARKDOWN.parse(f"before\n{escape(text)}")

    assert ["paragraph_open", "inline", "paragraph_close"] == [token.type for token in tokens]
    assert words(f"before {text}") == words("".join(child.content or " " for child in tokens[1].children))


@given(HOSTILE.filter(words))
def test_an_item_of_a_list_shows_the_text_that_went_in(text):
    """And stays one item."""
    tokens = MARKDOWN.parse(f"- {escape(text)}\n- next")

    assert 2 == sum(token.type == "list_item_open" for token in tokens)
    shown, kinds = seen(next(token for token in tokens if token.type == "inline"))
    assert words(text) == shown
    assert kinds <= {"text", "text_special"}


@st.composite
def frames(draw):
    columns = draw(st.integers(1, 4))
    heads = [f"{draw(HOSTILE)}{at}" for at in range(columns)]
    rows = draw(st.lists(st.lists(HOSTILE, min_size=columns, max_size=columns), min_size=1, max_size=4))
    return pd.DataFrame(rows, columns=heads)


@given(frames())
def test_a_table_of_hostile_cells_keeps_its_rows_and_columns(frame):
    """And nothing but text is in a cell: the text that went in."""
    tokens = MARKDOWN.parse(table(frame))
    kinds = [token.type for token in tokens]

    assert 1 == kinds.count("table_open")
    assert ("table_open", "table_close") == (kinds[0], kinds[-1])
    assert (1 + len(frame), len(frame.columns), frame.size) == tuple(
        kinds.count(f"{kind}_open") for kind in ("tr", "th", "td")
    )
    cells = [seen(token) for token in tokens if token.type == "inline"]
    assert [words(text) for text in (*frame.columns, *frame.to_numpy().ravel())] == [shown for shown, _ in cells]
    assert set().union(*(made_of for _, made_of in cells)) <= {"text", "text_special"}


def test_a_table_has_golden_bytes():
    """Cells that look like numbers stay as they are, and nothing is aligned by what it looks like."""
    frame = pd.DataFrame({"a|b": ["007", "1e5"], "c": ["x|y", ""]})

    assert "| a\\|b   | c    |\n|:-------|:-----|\n| 007    | x\\|y |\n| 1e5    |      |" == table(frame)


@given(HOSTILE.filter(lambda text: text.strip("` \n\t\r") != ""))
def test_code_shows_what_went_in_and_ends_where_it_ends(text):
    """Whatever row of backticks it holds."""
    (inline,) = MARKDOWN.parseInline(f"a {code(text)} b")

    assert ["text", "code_inline", "text"] == [child.type for child in inline.children]
    assert words(text) == words(inline.children[1].content)


@pytest.mark.parametrize(
    ("text", "written"), [("a", "`a`"), ("a`b", "`` a`b ``"), ("``", "``` `` ```"), ("a\nb", "`a b`"), ("", "``")]
)
def test_code_has_golden_bytes(text, written):
    """A fence that is one longer than any row inside, and a space only where a backtick would touch it."""
    assert written == code(text)
