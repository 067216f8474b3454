"""What tests do with a page in a browser, and the runs that it shows."""

import random
from pathlib import Path

from builders import make_epoch

from resnet18.records.record import Score
from resnet18.spec.resolve import Request

REQUEST = Request(scale="paper", data="cifar10")
SIZES = {"phone": (360, 740), "desktop": (1280, 800)}
WINDOWS = [(size, theme) for size in SIZES for theme in ("light", "dark")]
CHART = '[data-chart^="augmentation"]'
TABLE = f"section:has(> {CHART})"  # augmentation, whose cases are rows
AA = 4.5
"""Contrast of text that WCAG 2 asks for at level AA."""
CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8").partition("\n")[2].rstrip()
VISIBLE = "(s) => [...document.querySelectorAll(s)].filter((one) => one.checkVisibility())"
"""A function of the page: the elements of a selector that can be seen."""


def epochs_of(run):
    """Return a learning curve with some noise, its own for each case and seed."""
    noise, cases = random.Random(f"{run.experiment.batch_size} {run.experiment.seed}"), len(run.experiment.augmentation)  # noqa: S311 - no secret

    def score(at, images):
        share = min(0.95 - 0.8 / (1 + at / 4) - 0.02 * cases + noise.gauss(0, 0.01), 0.99)
        return Score(
            loss=2.3 / (1 + at / 5) + abs(noise.gauss(0, 0.02)), correct=int(max(share, 0.1) * images), images=images
        )

    return tuple(
        make_epoch(at, train=score(at, 50_000), as_published=score(at, 10_000), clean=score(at, 10_000))
        for at in range(1, run.experiment.epochs + 1)
    )


def show(browser, selector):
    """Scroll to something, and wait until what is drawn only when near is drawn."""
    browser.evaluate(f"document.querySelector({selector!r}).scrollIntoView()")
    browser.settle()
    browser.settle()


def texts(browser, selector):
    return browser.evaluate(f"[...document.querySelectorAll({selector!r})].map((one) => one.textContent.trim())")


def click(browser, selector):
    browser.evaluate(f"document.querySelector({selector!r}).click()")
    browser.settle()


def lines(browser):
    return browser.evaluate(f"document.querySelectorAll('{CHART} .plot .line').length")
