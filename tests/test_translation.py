"""How a text is translated: by the phrase that says most of it; what comes from outside is inert."""

import re
import tomllib

import pytest

from resnet18.analysis.language.catalogue import FOLDER, make_catalogue
from resnet18.analysis.language.document import translated_document
from resnet18.analysis.language.markup import marked, unmarked
from resnet18.analysis.language.translation import Translator, translated, translator
from resnet18.analysis.markdown import escape

HOSTILE = (
    "{0}",
    "{n1}",
    "{t1} {v1}",
    r"\1 \g<0>",
    "%s",
    "**bold** `code`",
    "[x](http://y)",
    "| a | b |",
    "{",
    "“{q1}”",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_inert(text):
    """It comes out of a sentence as it went in: as plain text, and escaped in markdown."""
    line = f"seed 3 of {chr(34)}{text}{chr(34)} ended diverged"

    assert f"“{text}”的种子 3 以“发散”结束" == translated(line)
    assert (
        f"- {escape(f'“{text}”的种子 3 以“发散”结束')}"
        == translated_document(f"- {escape(line)}", translator("zh")).text
    )


@pytest.mark.parametrize("separator", [", ", "; ", ": ", '", "', " (", " or "])
def test_a_long_hostile_text_takes_no_time_and_stays(separator):
    """Lists inside lists are followed only so far."""
    text = separator.join(["word"] * 2_000)

    assert text == translated(text)
    assert text[:1_400] == translated(text[:1_400])


@pytest.mark.parametrize("text", ["a_b *c* `d` [e]", "# x", "1. y", "- z", "www.x.org @a :// &amp; $5$", "a\\|b"])
def test_markdown_comes_back_as_it_was(text):
    """What a translation does not touch is the same line."""
    assert escape(text) == unmarked(marked(escape(text)))


def test_a_link_stays_a_link():
    """Inside a sentence that is translated; what only looks like one was escaped, and stays so."""
    one = Translator(make_catalogue({"open {v1} or {v2}": "打开 {v1} 或 {v2}"}))

    assert "打开 [a.html](a.html) 或 \\[b\\](c)" == translated_document(r"open [a.html](a.html) or \[b\](c)", one).text


def test_a_translation_with_other_places_is_refused():
    """A number would be lost."""
    with pytest.raises(ValueError, match="has other places"):
        make_catalogue({"{n1} of {n2}": "{n1}"})


def test_a_space_stands_between_chinese_and_latin_letters_numbers_or_places():
    """The space before or after a place goes where a Chinese text comes to stand there."""
    close = "[\u4e00-\u9fff](?=[A-Za-z0-9{])|[A-Za-z0-9}%](?=[\u4e00-\u9fff])"
    phrases = {
        key: own for path in FOLDER.glob("zh/*.toml") for key, own in tomllib.loads(path.read_text("utf-8")).items()
    }

    assert [] == [own for own in phrases.values() if re.search(close, own)]
    assert [] == [own for own in phrases.values() if re.search("[\u4e00-\u9fff] ?[,;:?!]", own)]
    assert ("准确率与用时随 x 的变化", "准确率与用时随批大小的变化") == (
        translated("Accuracy and time against x"),
        translated("Accuracy and time against batch size"),
    )


def test_of_two_phrases_the_one_that_says_more_is_taken():
    """And of two that leave something out, the one that leaves out less."""
    one = Translator(make_catalogue({"{t1}; {t2}": "{t1}、{t2}", "{t1}; once": "{t1}一次", "a": "甲"}))

    assert ("甲一次", "甲、b") == (one.find("a; once").text, one.find("a; b").text)
    assert ("b",) == one.find("a; b").missing
