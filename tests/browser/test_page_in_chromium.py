"""The web page in a browser: at two sizes and in both themes it is quiet, fits, and does what its controls say."""

import re
from pathlib import Path

import pytest

CHART = '[data-chart^="augmentation"]'
LINES, VALUES, RANGE = f"{CHART} .plot .line", f"{CHART} .value", f"{CHART} input[type=range]"
TABLE = f"section:has(> {CHART})"  # augmentation, whose cases are rows
AA = 4.5
"""Contrast of text that WCAG 2 asks for at level AA."""
CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8").partition("\n")[2].rstrip()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(360, 740), (1280, 800)])
def test_the_page_does_not_overflow_and_its_texts_have_contrast(width, height, theme, chromium, page):
    chromium.open(page, width, height, theme)
    chromium.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    chromium.evaluate("[...document.querySelectorAll('.opener')].slice(0, 3).forEach((one) => one.click())")
    chromium.show(CHART)

    assert 0 == chromium.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert [] == chromium.evaluate(f"({CONTRAST})({AA})")
    assert 5 == chromium.count(LINES)
    assert [] == chromium.complaints()


SEEN = "[...document.querySelectorAll('main > :not(#runs) .scroll')].filter((one) => one.checkVisibility())"
"""Boxes of tables of the answer, whose parts are folded."""


def test_results_are_seen_at_1280_px_without_scrolling_sideways(chromium, page):
    chromium.open(page)

    assert 7 <= chromium.evaluate(f"{SEEN}.length")
    assert [] == chromium.evaluate(
        f"{SEEN}.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.ariaLabel)"
    )


def test_on_a_small_screen_a_case_is_a_row(chromium, page):
    first = f"{SEEN}.find((one) => one.ariaLabel.startsWith('Table 2')).querySelector('tbody th').textContent"
    found = []
    for width in (690, 710):
        chromium.open(page, width)
        found.append(chromium.evaluate(first))

    assert ["8", "Test accuracy, reported"] == found


def test_a_link_to_a_part_opens_it(desktop):
    desktop.evaluate("document.querySelectorAll('details.chapter').forEach((one) => { one.open = false; })")
    desktop.click('main > section a[href^="#part-of-"]')
    desktop.evaluate("new Promise((done) => setTimeout(done, 50))")

    assert 1 == desktop.count("details.chapter[open]")


def test_columns_sort_up_and_down(desktop):
    head = f"{TABLE} th[scope=col].num .sorter"
    column = desktop.evaluate(f"document.querySelector('{head}').closest('th').cellIndex + 1")
    cells = f"{TABLE} table.main tbody tr > :nth-child({column})"
    desktop.click(head)
    up, said = desktop.texts(cells), desktop.evaluate(f"document.querySelector('{head}').closest('th').ariaSort")
    desktop.click(head)
    down = desktop.texts(cells)
    numbers = [float(re.match(r"[-+]?[\d.]+", one).group()) for one in up if re.match(r"[-+]?\d", one)]

    assert sorted(numbers) == numbers
    assert ("ascending", up[::-1]) == (said, down)


def test_choosing_cases_measures_and_seeds_changes_the_chart(desktop):
    desktop.show(CHART)
    found = []
    for choice in (".legend input", 'input[value="each"]', 'input[value="loss"]'):
        found += [desktop.count(LINES), *desktop.texts(f"{CHART} .axis")]
        desktop.click(f"{CHART} {choice}")
    accuracy = "Accuracy (%), test images, clean"

    assert [5, accuracy, 4, accuracy, 12, accuracy] == found
    assert ["Cross entropy (nats), test images, clean"] == desktop.texts(f"{CHART} .axis")


def test_pointing_and_arrow_keys_show_the_values_of_all_chosen_cases(desktop):
    desktop.show(CHART)
    last = desktop.texts(VALUES)
    corner = f"(({{ left, top }}) => [left, top])(document.querySelector('{CHART} .plot').getBoundingClientRect())"
    left, top = desktop.evaluate(corner)
    desktop.call("Input.dispatchMouseEvent", type="mouseMoved", x=left + 50, y=top + 60)
    desktop.settle()
    first, caption = desktop.texts(VALUES), desktop.texts(f"{CHART} caption")
    desktop.evaluate(f"document.querySelector('{RANGE}').focus()")
    desktop.press("ArrowRight")
    desktop.settle()

    assert ["Epoch 1: Accuracy (%), test images, clean"] == caption
    assert ["Epoch 2: Accuracy (%), test images, clean"] == desktop.texts(f"{CHART} caption")
    assert all(re.fullmatch(r"\d+\.\d\d %", one) for one in first + last)
    assert first != last
    assert desktop.evaluate(f"document.querySelector('{RANGE}').ariaValueText").startswith("Epoch 2: none ")


def test_runs_are_searched_filtered_and_opened(desktop):
    every = desktop.count("table.runs tbody")
    desktop.evaluate("document.getElementById('runs-status').value = 'Out of Memory'")
    desktop.evaluate("document.getElementById('runs-status').dispatchEvent(new Event('change'))")

    assert [f"3 of {every} listed runs"] == desktop.texts("#runs-count")
    desktop.click("table.runs tbody:not(.filtered) .opener")
    assert "Record hash" in desktop.texts("table.runs .detail:not(.closed)")[0]
    desktop.click("table.runs .detail:not(.closed) a")
    desktop.evaluate("new Promise((done) => setTimeout(done, 50))")
    assert "Code, SHA-256" in desktop.texts(".more[id^=setup][open]")[0]


def test_the_keyboard_reaches_every_control_in_order(desktop):
    reach = (
        "(one => [one.tagName, one.className, one.checkVisibility(), getComputedStyle(one).outlineStyle,"
        " one.closest('label, tr')?.matches(':focus-within') ?? false])(document.activeElement)"
    )
    reached = []
    for _ in range(140):
        desktop.press("Tab")
        reached.append(desktop.evaluate(reach))

    assert reached[0][:2] == ["A", "skip"]
    assert {"A", "BUTTON", "SUMMARY", "DIV", "INPUT"} <= {tag for tag, *_ in reached}
    assert all(visible and (outline != "none" or inside) for *_, visible, outline, inside in reached)


def test_paper_shows_everything_and_no_controls(desktop):
    desktop.evaluate("dispatchEvent(new Event('beforeprint'))")
    desktop.call("Emulation.setEmulatedMedia", media="print")
    parts = (".verdict .evidence", ".detail", ".facts", ".chart", ".more ul")
    hidden = [part for part in parts if len(desktop.seen(part)) != desktop.count(part)]
    controls = desktop.seen(".toc, .controls, .opener, input[type=range]")
    desktop.call("Emulation.setEmulatedMedia", media="")

    assert ([], []) == (hidden, controls)
    assert 0 == desktop.count(".plot:not(:has(.line))")


def test_without_a_script_the_page_still_shows_verdicts_tables_and_figures(chromium, page):
    chromium.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.open(page)
        tree = chromium.call("DOMSnapshot.captureSnapshot", computedStyles=["display"])
    finally:
        chromium.call("Emulation.setScriptExecutionDisabled", value=False)
    strings, document = tree["strings"], tree["documents"][0]
    shown = " ".join(strings[at] for at in document["layout"]["text"] if at >= 0)
    names = [strings[at] for at in document["nodes"]["nodeName"]]

    assert all(word in shown for word in ("contradicted", "Table 2: batch size", "Result hash", "How to read it"))
    assert "Search" not in shown
    assert 6 <= sum(names[at] == "IMG" for at in document["layout"]["nodeIndex"])
    assert [] == chromium.complaints()
