"""Figures show what the records say, in a file that is the same for everybody; pictures are the data set's own."""

import base64
import io
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from builders import make_case, make_experiment, make_job, make_losses, make_record, make_run
from matplotlib.text import Text
from PIL import Image
from reports import elsewhere

from resnet18.data.dataset import read_embedded
from resnet18.execution.worker import run_job
from resnet18.records.checkpoints import decode_picture, encode_picture
from resnet18.records.record import Sample
from resnet18.records.store import Store
from resnet18.report.figures import confusion_matrix, learning_curves, sample_grid, svg_of
from resnet18.spec.experiment import DataSource, Execution, parse_data
from resnet18.tables.metrics import overfitting_epoch

SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"
OVERFITS = (2.0, 1.5, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4)
DIVERGES = {"optimizer": {"name": "sgd", "lr": 100.0}, "epochs": 20}
RISE = "lowest test loss before it rises (clean)"
BAND = "line: mean of the seeds; band: lowest to highest"
SAMPLES = tuple(Sample(index=at, label=at % 2, prediction=int(at == 1)) for at in range(6))
GREYS = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.full((6, 4, 4, 3), 40, dtype=np.uint8)


def case_of(*losses, name="one", last_images=20):
    """A case whose seeds have these clean test losses."""
    records = []
    for seed, of_seed in enumerate(losses):
        epochs = make_losses(*((2.0, loss) for loss in of_seed), last_images=last_images)
        records.append(make_record(make_experiment(seed=seed, epochs=len(epochs)), epochs=epochs))
    return make_case(name, tuple(records))


FAILED = make_case("failed", (make_record(status="oom_device"),))


def texts(svg):
    """Every text of a file, in order; fails where it is no XML."""
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314 - our own file


def drawn(*cases):
    """The panels of learning curves, and every text of the figure."""
    figure = learning_curves("A title", "Batch", cases)
    return figure.axes, [text.get_text() for text in figure.findobj(Text)]


def figures(name="A title"):
    return (
        svg_of(learning_curves, name, name, (case_of(OVERFITS, (2.0, 1.7), name=name), FAILED)),
        svg_of(confusion_matrix, name, (name, "b"), ((1, 0), (0, 1))),
        svg_of(sample_grid, name, encode_picture(GREYS), SAMPLES, ("b", name)),
    )


def test_neither_time_zone_nor_locale_nor_own_settings_change_a_byte(monkeypatch):
    here = figures()
    with elsewhere(monkeypatch), mpl.rc_context({"lines.linewidth": 9, "font.size": 30, "axes.facecolor": "red"}):
        there = figures()

    assert here == there


@pytest.mark.parametrize("name", ["$x$ & $ <script>]]>", "_a\N{CJK RADICAL KNIFE ONE}"])
def test_text_from_outside_is_printed_as_it_is(name):
    svgs = figures(name)

    assert all(any(name in text for text in texts(svg)) for svg in svgs)
    assert not any(b"<script" in svg for svg in svgs)
    assert "a b c d" in texts(svg_of(confusion_matrix, "a\x00b\u202ec\udc80d", ("x", "y"), ((1, 0), (0, 1))))


def test_curves_name_their_cases_axes_and_units():
    """A case without a result with its word, also where there is no other."""
    ok, lost = case_of(OVERFITS, OVERFITS), make_record(make_experiment(seed=2), status="diverged")
    _, found = drawn(replace(ok, records=(*ok.records, lost)), case_of(OVERFITS, name="two"), FAILED)

    assert {"A title", "Batch", "test, as published", "test, clean"} <= set(found)
    assert {"one (n = 2; 1 diverged)", "two (n = 1)", "failed (Out of Memory)"} <= set(found)
    assert [2, 2, 2, 2] == [found.count(text) for text in ("training", "epoch", "accuracy (%)", "cross entropy (nats)")]
    assert "failed (Out of Memory)" in drawn(FAILED)[1]


def test_two_seeds_have_a_band():
    panels, found = drawn(case_of((2.0, 1.0), (3.0, 1.5)))
    alone, others = drawn(case_of(OVERFITS))
    (band,) = panels[2].collections
    corners = {(int(epoch), round(float(loss), 6)) for epoch, loss in band.get_paths()[0].vertices}

    assert {(1, 2.1), (1, 3.1), (2, 1.1), (2, 1.6)} == corners
    assert ([[], [], [], []], True, False) == ([list(one.collections) for one in alone], BAND in found, BAND in others)


def test_a_last_epoch_tested_on_more_images_is_hollow():
    panels, found = drawn(case_of(OVERFITS, last_images=1_000))
    _, others = drawn(case_of(OVERFITS))
    hollow = [sum(line.get_markerfacecolor() == "white" for line in panel.lines) for panel in panels]

    assert "hollow: last three epochs, on 1,000 test images (before: 20)" in found
    assert [0, 0, 2, 2] == hollow
    assert not any("hollow" in text for text in others)


@pytest.mark.parametrize(
    ("case", "epoch"),
    [
        (case_of(OVERFITS, OVERFITS), 3),
        (case_of(OVERFITS, tuple(loss + 1.5 for loss in OVERFITS)), None),  # the seeds differ more than the loss rises
        (case_of(OVERFITS[::-1]), None),  # falls, then rises, but not above where it was
        (case_of(tuple(2.5 - 0.2 * number for number in range(10))), None),
        (case_of(*((2.0, 1.5, 1.0, 1.2, 1.4, 1.6, 1.5, 1.3, 0.9, 1.9),) * 2), 9),  # the last epoch is the last tenth
        (case_of([1.0, 1.05, 0.95, 1.02] * 25), None),  # flat and noisy
        (case_of((1.0, 1.2)), None),  # two epochs of one seed say nothing
        (case_of(*((2.0, 1.9, 1.8, 1.7, 1.6, 9.0),) * 2, last_images=1_000), None),  # the last is of other images
    ],
)
def test_the_overfitting_epoch_is_that_of_the_lowest_loss_if_the_loss_rises_from_there(case, epoch):
    assert epoch == overfitting_epoch(case.measured)


def test_the_overfitting_epoch_is_a_star_on_its_curve():
    panels, found = drawn(case_of(OVERFITS, OVERFITS))
    _, others = drawn(case_of((2.0, 1.0), (2.0, 1.0)))
    stars = [[line.get_xydata().tolist() for line in panel.lines if line.get_marker() == "*"] for panel in panels]

    assert [[], [], [[[3.0, 1.0]]], []] == stars
    assert (True, False) == (RISE in found, RISE in others)


def test_a_confusion_matrix_prints_every_count_and_class():
    names = tuple(f"class {letter}" for letter in "abcdefghi")
    counts = [[1_000 + 10 * row + column for column in range(10)] for row in range(9)]
    found = texts(svg_of(confusion_matrix, "A title", names, counts))

    assert {f"{count:,}" for row in counts for count in row} <= set(found)
    assert [2] * 9 == [found.count(name) for name in names]
    assert {"true class", "predicted class (last epoch, clean)", "share of the true class (%)"} <= set(found)
    assert 1 == found.count("(no class 9)")


def test_every_sample_has_its_pixels_and_its_true_and_predicted_class():
    """Wrong ones are framed."""
    drawing = "A title", encode_picture(GREYS), SAMPLES, ("cat", "dog")
    svg = svg_of(sample_grid, *drawing)
    files = [one.attrib[LINK].partition(",")[2] for one in ET.fromstring(svg).iter(f"{SVG}image")]  # noqa: S314 - our own file
    pixels = [np.asarray(Image.open(io.BytesIO(base64.b64decode(file))).convert("RGB")) for file in files]
    counts = [texts(svg).count(text) for text in ("true: cat", "true: dog", "predicted: cat", "wrong")]

    assert [3, 3, 5, 2] == counts
    assert [3, 5] == [
        at for at, axes in enumerate(sample_grid(*drawing).axes) if axes.spines["left"].get_linewidth() > 2
    ]
    assert np.array_equal(GREYS, np.stack(pixels))


def run_on(folder, source, **changes):
    Store(folder).make_writable()
    job = make_job(folder, make_run(make_experiment(data=source.label, **changes), Execution(threads=1)), source)
    run_job(job, lambda message: None)
    (record,) = Store(folder).read().records
    return record, list((folder / "records").glob("*.png"))


def test_a_run_leaves_a_picture_of_its_samples(tmp_path):
    record, (picture,) = run_on(tmp_path, parse_data("fashion-mnist-mini"))
    images = read_embedded().test.images[[sample.index for sample in record.samples]]

    assert Store(tmp_path).picture_path(record.run_id, record.attempt) == picture
    assert np.array_equal(images, decode_picture(picture.read_bytes()))


@pytest.mark.parametrize(
    ("source", "changes", "encode", "status"),
    [
        (DataSource("mine", Path("mine")), {}, encode_picture, "ok"),
        (parse_data("fashion-mnist-mini"), {}, Mock(side_effect=OSError(28, "No space left on device")), "ok"),
        (parse_data("fashion-mnist-mini"), DIVERGES, encode_picture, "diverged"),
    ],
    ids=["images that may not be shown", "no space", "no result"],
)
def test_a_run_without_a_picture_has_its_record(source, changes, encode, status, tmp_path, monkeypatch):
    monkeypatch.setattr("resnet18.execution.worker.open_data", lambda source, verify: read_embedded())
    monkeypatch.setattr("resnet18.execution.worker.encode_picture", encode)
    record, pictures = run_on(tmp_path, source, **changes)

    assert (status, []) == (record.status, pictures)
