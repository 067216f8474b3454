"""The page in Chinese in a browser: it is quiet, fits, and its scripts say everything in Chinese."""

import re

import pytest
from acting import AA, CHART, CONTRAST, WINDOWS, click, lines, show, texts

from resnet18.analysis.language.translation import translated

PHONE = (390, 844)
SAID = """[...document.querySelectorAll('body, body *')].flatMap((one) => [
  ...['aria-label', 'aria-valuetext', 'placeholder', 'alt'].map((name) => one.getAttribute(name)),
  ...[...one.childNodes]
    .filter((node) => node.nodeType === 3 && !one.closest('script, noscript'))
    .map((node) => node.data),
]).filter((text) => text && text.trim())"""
"""Everything that the page shows or says at the moment, scripts' texts too."""
RAW = {"a processor", "Out of Memory", "--scale paper"}
"""Of a record, of the lab report, and of a command."""


@pytest.fixture
def chinese(chromium, reports):
    """The page in one window, for what does not depend on its size; complaints fail the test afterwards."""
    chromium.open(reports / "report.zh.html", width=1280, height=800, theme="light")
    yield chromium
    assert [] == chromium.complaints()


@pytest.mark.parametrize(("size", "theme"), WINDOWS)
def test_the_page_does_not_overflow_and_its_texts_have_contrast(size, theme, chromium, reports):
    """At both sizes and in both themes, with everything open; charts are drawn."""
    width, height = PHONE if size == "phone" else (1280, 800)
    chromium.open(reports / "report.zh.html", width=width, height=height, theme=theme)
    chromium.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    chromium.evaluate("[...document.querySelectorAll('.opener')].slice(0, 3).forEach((one) => one.click())")
    show(chromium, CHART)

    assert 0 == chromium.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert [] == chromium.evaluate(f"({CONTRAST})({AA})")
    assert 5 == lines(chromium)
    assert [] == chromium.complaints()


def test_nothing_that_a_script_says_is_english(chinese):
    """After every control was used: choices of all charts, filters, sorting, what opens, the other theme."""
    said = set()
    for step in (
        "document.querySelectorAll('.chart').forEach((one) => one.scrollIntoView())",
        "dispatchEvent(new Event('beforeprint'))",
        "document.querySelectorAll('.chart input[value=loss]').forEach((one) => one.click())",
        "document.querySelectorAll('.chart input[value=each]').forEach((one) => one.click())",
        "document.querySelectorAll('.chart input[value=train]').forEach((one) => one.click())",
        "document.querySelectorAll('[data-pick=none]').forEach((one) => one.click())",
        "document.querySelectorAll('.tile').forEach((one) => one.click())",
        "document.querySelectorAll('.opener, .sorter, #theme').forEach((one) => one.click())",
        "document.getElementById('theme').click()",  # the browser keeps the choice for the next test
    ):
        chinese.evaluate(step)
        chinese.settle()
        said |= {" ".join(one.split()) for one in chinese.evaluate(SAID)}
    shown = {one for one in said - RAW if not one.startswith("resnet18 run ")}  # a command to type
    own = {one for one in shown if not re.search("[\u4e00-\u9fff]", one)}

    assert [] == sorted(one for one in own if re.search(r"[A-Za-z]{2,},? [a-z]{2,}", one))
    assert {"epoch", "ended", "Dark theme", "Light theme", "Epoch"} & said == set()
    assert {"轮次", "浅色主题", "深色主题"} <= said


def test_titles_and_values_of_a_chart_are_chinese(chinese):
    """The axis, the legend, the seeds' range, and what a screen reader is told."""
    show(chinese, CHART)
    axis, caption = texts(chinese, f"{CHART} .axis"), texts(chinese, f"{CHART} caption")
    told = chinese.evaluate(f"document.querySelector('{CHART} input[type=range]').getAttribute('aria-valuetext')")

    assert ["\N{FULLWIDTH COMMA}".join(map(translated, ("Accuracy (%)", "test images, clean")))] == axis
    assert [f"第 20 轮\N{FULLWIDTH COLON}{axis[0]}"] == caption
    assert told == "第 20 轮"
    assert all(re.fullmatch(r"\d+\.\d\d 至 \d+\.\d\d %", one) for one in texts(chinese, f"{CHART} .range"))


def test_filters_say_in_chinese_how_much_they_show(chinese):
    """Of runs by their status, which is Chinese too, and of verdicts."""
    every = chinese.evaluate("document.querySelectorAll('table.runs tbody').length")
    chinese.evaluate("document.getElementById('runs-status').value = '显存不足'")
    chinese.evaluate("document.getElementById('runs-status').dispatchEvent(new Event('change'))")
    click(chinese, '.tile[data-word="not run"]')
    shown = len(texts(chinese, ".verdict:not(.filtered)"))

    assert [f"所列 {every} 次运行中的 3 次"] == texts(chinese, "#runs-count")
    assert [f"显示 18 条判定中的 {shown} 条"] == texts(chinese, ".judgement .shown")


def test_a_link_leads_to_the_other_page_and_back(chromium, reports):
    """On top of each."""
    chromium.open(reports / "report.html", width=1280, height=800, theme="light")
    chromium.evaluate("document.querySelector('.languages a').click()")
    chromium.wait_for("Page.loadEventFired")
    there = chromium.evaluate("[document.documentElement.lang, document.querySelector('h1').textContent]")
    chromium.evaluate("document.querySelector('.languages a').click()")
    chromium.wait_for("Page.loadEventFired")

    assert ["zh-CN", "实测值与报告值对照"] == there
    assert chromium.evaluate("document.documentElement.lang") == "en-GB"
    assert [] == chromium.complaints()
