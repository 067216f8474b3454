"""Figures show what the records say, in a file that is the same for everybody; pictures are the data set's own."""

import base64
import contextlib
import io
import itertools
import locale
import time
from dataclasses import replace
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from builders import make_case, make_epoch, make_experiment, make_job, make_record, make_run
from PIL import Image

from resnet18.data.embedded import read_embedded
from resnet18.execution.worker import run_job
from resnet18.records.picture import decode_picture, encode_picture
from resnet18.records.record import Sample, Score
from resnet18.records.store import Store
from resnet18.report.figures import (
    against,
    confusion_matrix,
    learning_curves,
    numeric_key,
    sample_grid,
    summed_confusion,
)
from resnet18.report.figures.curves import draw_curves
from resnet18.report.figures.predictions import draw_samples
from resnet18.report.figures.series import overfitting_epoch
from resnet18.report.figures.style import styled
from resnet18.spec.data import DataSource, parse_data
from resnet18.spec.experiment import Execution
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request
from resnet18.tables.selection import select

SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"
OVERFITS = (2.0, 1.5, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2, 2.4)
RISE = "lowest test loss before it rises (clean)"
BAND = "line: mean of the seeds; band: lowest to highest"
SAMPLES = tuple(Sample(index=at, label=at % 2, prediction=int(at == 1)) for at in range(6))
GREYS = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.full((6, 4, 4, 3), 40, dtype=np.uint8)


def with_losses(losses, seed=0, last_images=20, **changes):
    """A record whose clean and published test losses are these."""
    epochs = [
        make_epoch(
            number,
            as_published=Score(loss=loss + 0.1, correct=10, images=images),
            clean=Score(loss=loss, correct=10, images=images),
        )
        for number, loss in enumerate(losses, 1)
        for images in [last_images if number == len(losses) else 20]
    ]
    return make_record(make_experiment(seed=seed, epochs=len(losses), **changes), epochs=tuple(epochs))


def texts(svg):
    """Every text of a figure, in order; fails where it is no XML."""
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314 - our own file


def batches(statuses, seeds=(0, 1)):
    """A case for each batch size, with the status of each of its seeds."""
    return tuple(
        make_case(
            str(batch),
            tuple(make_record(make_experiment(batch_size=batch, seed=seed), status=status) for seed in seeds),
        )
        for batch, status in statuses.items()
    )


def figures(arms):
    return (
        learning_curves("A title", "Batch", arms),
        against("A title", "Batch", arms, "batch_size", "train_s"),
        confusion_matrix("A title", ("cat", "dog"), summed_confusion(arms[0].measured)),
        sample_grid("A title", encode_picture(GREYS), SAMPLES, ("cat", "dog")),
    )


def arms_of_losses(first, second=None):
    one = tuple(with_losses(losses, seed) for seed, losses in enumerate(first))
    return (
        make_case("one", one),
        *((make_case("two", (with_losses(second, batch_size=8),)),) if second else ()),
    )


def test_the_order_of_records_changes_no_byte():
    """Records of a case come from a folder: in any order."""
    records = [with_losses(losses, seed) for seed, losses in enumerate((OVERFITS, (2.0, 1.7), (3.0, 1.1, 0.3)))]
    drawn = {figures((make_case("8", order),))[:3] for order in itertools.permutations(records)}

    assert 1 == len(drawn)


def test_neither_time_zone_nor_locale_nor_own_settings_change_a_byte(monkeypatch):
    """Somebody else, elsewhere, with their own matplotlib style, gets the same file."""
    arms = batches({8: "ok", 16: "oom_device"})
    here, own = figures(arms), locale.setlocale(locale.LC_ALL)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    for name in ("C.UTF-8", "de_DE.UTF-8"):
        with contextlib.suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, name)
    with mpl.rc_context({"lines.linewidth": 9, "font.size": 30, "axes.facecolor": "red"}):
        there = figures(arms)
    locale.setlocale(locale.LC_ALL, own)
    monkeypatch.undo()
    time.tzset()

    assert here == there


@pytest.mark.parametrize(
    "name", ["$x$ & $", "<script>alert(1)</script>", "_hidden", "]]>", "a\N{CJK RADICAL KNIFE ONE}"]
)
def test_text_from_outside_is_printed_as_it_is(name):
    """Neither a formula nor a tag, nor a label that matplotlib would hide."""
    arms = (
        make_case(name, (make_record(),)),
        make_case("b", (make_record(make_experiment(batch_size=8)),)),
    )
    svgs = (
        learning_curves(name, name, arms),
        against(name, name, arms, "batch_size", "train_s"),
        confusion_matrix(name, (name, "b"), ((1, 0), (0, 1))),
        sample_grid(name, encode_picture(GREYS), SAMPLES, ("b", name)),
    )

    for svg in svgs:
        assert any(name in text for text in texts(svg))
        assert b"<script" not in svg


def test_what_an_svg_cannot_hold_becomes_a_space():
    """Control characters, direction marks, and halves of a letter from a broken file name."""
    assert "a b c d" in texts(confusion_matrix("a\x00b\u202ec\udc80d", ("x", "y"), ((1, 0), (0, 1))))


def test_curves_name_their_cases_axes_and_units():
    """Four panels: loss and accuracy, training and test."""
    found = texts(learning_curves("A title", "Batch", arms_of_losses([OVERFITS, OVERFITS], OVERFITS)))

    assert {"A title", "Batch", "one (n = 2)", "two (n = 1)", "test, as published", "test, clean"} <= set(found)
    assert [2, 2, 2, 2] == [found.count(text) for text in ("training", "epoch", "accuracy (%)", "cross entropy (nats)")]


def test_of_many_cases_the_clean_curve_is_left_out_and_the_panel_says_so():
    """Eight test curves in a panel cannot be told apart."""
    found = texts(learning_curves("A title", "Batch", batches({8: "ok", 16: "ok", 32: "ok", 64: "ok"})))

    assert (2, 0) == (found.count("test, as published"), found.count("test, clean"))


def test_a_case_without_a_result_is_named_with_its_word():
    """And the one that lost a seed says how."""
    arms = batches({8: "ok", 16: "oom_device"})
    lost = make_record(make_experiment(batch_size=8, seed=2), status="diverged")
    found = texts(learning_curves("A title", "Batch", (replace(arms[0], records=(*arms[0].records, lost)), arms[1])))

    assert {"8 (n = 2; 1 diverged)", "16 (Out of Memory)"} <= set(found)


def panels(arms):
    with styled():
        return draw_curves("A title", "Batch", arms).axes


def test_two_seeds_have_a_band():
    """In every panel, from the lowest to the highest."""
    arms = arms_of_losses([(2.0, 1.0), (3.0, 1.5)])
    (band,) = panels(arms)[2].collections
    corners = {(int(epoch), round(float(loss), 6)) for epoch, loss in band.get_paths()[0].vertices}

    assert {(1, 2.1), (1, 3.1), (2, 1.1), (2, 1.6)} == corners
    assert BAND in texts(learning_curves("A title", "Batch", arms))


def test_one_seed_has_no_band():
    """There is no spread to show."""
    arms = arms_of_losses([OVERFITS])

    assert [[], [], [], []] == [list(axes.collections) for axes in panels(arms)]
    assert BAND not in texts(learning_curves("A title", "Batch", arms))


def test_a_curve_ends_with_the_shortest_run():
    """A mean over other seeds than before would be a step that no run made."""
    _, _, test_loss, _ = panels(arms_of_losses([(2.0, 1.0, 0.5), (3.0, 1.5)]))

    assert [1, 2] == list(test_loss.lines[0].get_xdata())


def test_equal_curves_are_both_seen():
    """The one below is wider."""
    arms = (
        make_case("one", (with_losses(OVERFITS),)),
        make_case("two", (with_losses(OVERFITS, batch_size=8),)),
    )
    _, _, test_loss, _ = panels(arms)
    below, above = (line for line in test_loss.lines if line.get_linestyle() == "-")

    assert below.get_linewidth() > above.get_linewidth() + 1


def test_a_last_epoch_tested_on_more_images_is_hollow():
    """It is no step of the same curve, and the legend says so."""
    arms = (make_case("one", (with_losses(OVERFITS, last_images=1_000),)),)
    train_loss, _, test_loss, _ = panels(arms)

    sign = "hollow: last three epochs, on 1,000 test images (before: 20)"
    assert sign in texts(learning_curves("A title", "Batch", arms))
    assert (0, 2) == tuple(
        sum(line.get_markerfacecolor() == "white" for line in axes.lines) for axes in (train_loss, test_loss)
    )


def test_epochs_tested_on_equally_many_images_are_all_filled():
    """Nothing is marked that is not so."""
    found = texts(learning_curves("A title", "Batch", arms_of_losses([OVERFITS])))

    assert not any("hollow" in text for text in found)


@pytest.mark.parametrize(
    ("losses", "epoch"),
    [
        ((OVERFITS, OVERFITS), 3),
        ((OVERFITS,), 3),
        ((OVERFITS, tuple(loss + 1.5 for loss in OVERFITS)), None),  # the seeds differ more than the loss rises
        ((tuple(reversed(OVERFITS)),), None),  # falls, then rises, but not above where it was
        ((tuple(2.5 - 0.2 * number for number in range(10)),), None),
        (((2.0, 1.5, 1.0, 1.2, 1.4, 1.6, 1.5, 1.3, 0.9, 1.9),) * 2, 9),  # the last epoch alone is the last tenth
        (((2.0, 1.9, 1.8, 1.7, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1),), None),
        (([1.0, 1.05, 0.95, 1.02] * 25,), None),  # flat and noisy
        (((1.0, 1.2),), None),  # two epochs of one seed say nothing
        (((1.0,),), None),
    ],
)
def test_the_overfitting_epoch_is_that_of_the_lowest_loss_if_the_loss_rises_from_there(losses, epoch):
    """More than the seeds differ, and not only in the last tenth."""
    assert epoch == overfitting_epoch([with_losses(one, seed) for seed, one in enumerate(losses)])


def test_an_epoch_tested_on_other_images_decides_nothing_about_overfitting():
    """The last loss, on more images, is higher for that reason."""
    records = [with_losses((2.0, 1.9, 1.8, 1.7, 1.6, 9.0), seed, last_images=1_000) for seed in (0, 1)]

    assert overfitting_epoch(records) is None


def test_the_overfitting_epoch_is_a_star_on_its_curve():
    """With an entry in the legend."""
    arms = arms_of_losses([OVERFITS, OVERFITS])
    stars = [[line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "*"] for axes in panels(arms)]

    assert [[], [], [[[3.0, 1.0]]], []] == stars
    assert RISE in texts(learning_curves("A title", "Batch", arms))


def test_without_overfitting_the_legend_has_no_star():
    """It explains what is there, and nothing else."""
    assert RISE not in texts(learning_curves("A title", "Batch", arms_of_losses([(2.0, 1.0), (2.0, 1.0)])))


def test_one_huge_loss_does_not_flatten_the_others():
    """The axis becomes logarithmic, and says so."""
    found = texts(learning_curves("A title", "Batch", arms_of_losses([(80.0, 1.0, 0.9, 0.8, 0.7)])))

    assert "cross entropy (nats, log scale)" in found


def test_curves_of_no_result_at_all_are_an_empty_figure_with_the_words():
    """A table whose cases all failed."""
    assert "8 (Out of Memory)" in texts(learning_curves("A title", "Batch", batches({8: "oom_device"})))


@pytest.mark.parametrize(
    ("name", "key"), [("batchsize", "batch_size"), ("optimizer", None), ("augmentation", None), ("device", None)]
)
def test_the_numeric_key_of_a_table_is_found(name, key):
    """Table 2 has one; optimizers, operations and devices are no numbers."""
    (benchmark,) = load_benchmarks((name,))
    records = [
        make_record(run.experiment, run.execution) for run in plan([benchmark], Request(), (0,), {"cpu": 1}).runs
    ]
    (view,) = select([benchmark], Request(), records)

    assert key == numeric_key(view.cases)


@pytest.mark.parametrize(
    ("specs", "key"),
    [
        ([{"optimizer": {"name": "sgd", "lr": lr}} for lr in (0.1, 0.01)], "optimizer.lr"),
        ([{"epochs": 1}, {"epochs": 2}, {"epochs": 4}], "epochs"),
        ([{"epochs": 1}, {"epochs": 2, "batch_size": 8}], None),
        ([{"train_images": 40}, {"train_images": "all"}], None),
        ([{"optimizer": {"name": "sgd", "lr": 0.1, "momentum": value}} for value in (0.0, 0.5)], None),
        ([{}], None),
        ([], None),
    ],
)
def test_a_numeric_key_is_one_positive_number_and_all_that_differs(specs, key):
    """Zero has no place on a logarithmic axis."""
    assert key == numeric_key([make_case(str(at), (), make_experiment(**spec)) for at, spec in enumerate(specs)])


def test_accuracy_and_time_stand_against_the_tested_values():
    """With units, scope, machine and n; the ticks are the values."""
    found = texts(against("A title", "Batch", batches({8: "ok", 16: "ok", 100: "ok"}), "batch_size", "train_s"))

    assert {"8", "16", "100", "test accuracy (%)", "time (s)", "time of training alone, median", "one seed"} <= set(
        found
    )
    assert {"clean, median of the last three epochs (n = 2)", "time on a processor, 2 threads (n = 2)"} <= set(found)


def test_times_of_an_unknown_machine_are_not_drawn_and_the_legend_says_so():
    """They may come from several."""
    arms = [
        make_case(str(batch), (make_record(make_experiment(batch_size=batch), cpu="unknown"),)) for batch in (8, 16, 32)
    ]
    found = texts(against("A title", "Batch", arms, "batch_size", "train_s"))

    assert "times of an unknown machine are not drawn" in found
    assert not [text for text in found if text.startswith("time on")]


def test_a_case_that_ran_out_of_memory_is_a_word_instead_of_a_point():
    """In both panels; its value keeps its tick."""
    found = texts(against("A title", "Batch", batches({8: "ok", 16: "oom_device"}), "batch_size", "train_s"))

    assert (2, 2) == (found.count("Out of Memory"), found.count("16"))


def test_times_of_two_machines_are_two_lines():
    """They have nothing in common."""
    one, other = (make_record(make_experiment(batch_size=8, seed=seed), cpu=f"cpu {seed}") for seed in (0, 1))
    arms = (make_case("8", (one, other)), *batches({16: "ok"}))
    found = texts(against("A title", "Batch", arms, "batch_size", "train_s"))

    assert {"time on cpu 0, 2 threads (n = 1)", "time on cpu 1, 2 threads (n = 1)"} <= set(found)


def test_confusion_counts_are_summed_over_seeds():
    """Failed seeds have none."""
    (arm,) = batches({8: "ok"})
    failed = make_record(status="crashed")

    assert ((4, 0), (2, 6)) == summed_confusion((*arm.records, failed))
    assert () == summed_confusion((failed,))


def test_a_confusion_matrix_prints_every_count_and_class():
    """Ten classes; the network may have more outputs than there are classes."""
    names = tuple(f"class {letter}" for letter in "abcdefghi")
    counts = [[1_000 + 10 * row + column for column in range(10)] for row in range(9)]
    found = texts(confusion_matrix("A title", names, counts))

    assert {f"{count:,}" for row in counts for count in row} <= set(found)
    assert [2] * 9 == [found.count(name) for name in names]
    assert {"true class", "predicted class (last epoch, clean)", "share of the true class (%)"} <= set(found)
    assert 1 == found.count("(no class 9)")


def test_every_sample_has_its_true_and_its_predicted_class():
    """Wrong ones are called so, beside colour."""
    found = texts(sample_grid("A title", encode_picture(GREYS), SAMPLES, ("cat", "dog")))
    wrong = sum(sample.label != sample.prediction for sample in SAMPLES)

    assert (3, 3) == (found.count("true: cat"), found.count("true: dog"))
    assert (5, 1) == (found.count("predicted: cat"), found.count("predicted: dog"))
    assert wrong == found.count("wrong")


def test_the_frame_of_a_wrong_sample_is_thick():
    """Seen without colours."""
    with styled():
        figure = draw_samples("A title", GREYS, SAMPLES, ("cat", "dog"))

    assert [sample.label != sample.prediction for sample in SAMPLES] == [
        axes.spines["left"].get_linewidth() > 2 for axes in figure.axes
    ]


def test_the_figure_of_samples_holds_their_own_pixels():
    """Not an enlargement."""
    svg = sample_grid("A title", encode_picture(GREYS), SAMPLES, ("cat", "dog"))
    inside = [
        Image.open(io.BytesIO(base64.b64decode(element.attrib[LINK].partition(",")[2]))).convert("RGB")
        for element in ET.fromstring(svg).iter(f"{SVG}image")  # noqa: S314 - our own file
    ]

    assert np.array_equal(GREYS, np.stack(inside))


@pytest.mark.parametrize("png", [b"no picture", b"", encode_picture(GREYS)[:50], encode_picture(GREYS[:5])])
def test_a_damaged_picture_is_refused(png):
    """Or one of other samples."""
    with pytest.raises(ValueError, match=r"picture"):
        sample_grid("A title", png, SAMPLES, ("cat", "dog"))


def test_a_picture_holds_its_images_side_by_side():
    """Six squares in a row, pixel for pixel."""
    png = encode_picture(GREYS)
    with Image.open(io.BytesIO(png)) as picture:
        assert ("PNG", (24, 4)) == (picture.format, picture.size)
    assert np.array_equal(GREYS, decode_picture(png))


def job_for(tmp_path, source, **changes):
    experiment = make_experiment(data=source.label, **changes)
    Store(tmp_path).make_writable()
    return make_job(tmp_path, make_run(experiment, Execution(threads=1)), source)


def test_a_run_leaves_a_picture_of_its_samples(tmp_path):
    """The data set's own pixels, at the indices of the record."""
    run_job(job_for(tmp_path, parse_data("fashion-mnist-mini")), lambda message: None)
    (record,) = Store(tmp_path).read().records
    images = decode_picture(Store(tmp_path).picture_path(record.run_id, record.attempt).read_bytes())

    assert np.array_equal(read_embedded().test.images[[sample.index for sample in record.samples]], images)


def test_a_run_on_an_image_folder_leaves_no_picture(tmp_path, monkeypatch):
    """Nobody here knows whether its images may be shown."""
    monkeypatch.setattr("resnet18.execution.worker.open_data", lambda source, verify: read_embedded())
    run_job(job_for(tmp_path, DataSource("imagefolder", "mine", tmp_path)), lambda message: None)

    assert ["ok"] == [record.status for record in Store(tmp_path).read().records]
    assert [] == list((tmp_path / "records").glob("*.png"))


@pytest.mark.parametrize(("text", "leaves"), [("cifar10", True), ("fashion-mnist-mini", True)])
def test_the_suites_own_data_sets_may_leave_pictures(text, leaves):
    """Both are published for anyone to show."""
    assert leaves == parse_data(text).leaves_pictures


def test_a_picture_that_cannot_be_written_loses_no_record(tmp_path, monkeypatch):
    """A full disk, say."""

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "save_picture", fail)
    run_job(job_for(tmp_path, parse_data("fashion-mnist-mini")), lambda message: None)

    assert ["ok"] == [record.status for record in Store(tmp_path).read().records]


def test_a_run_without_a_result_leaves_no_picture(tmp_path):
    """There is no last epoch to show."""
    job = job_for(tmp_path, parse_data("fashion-mnist-mini"), optimizer={"name": "sgd", "lr": 100.0}, epochs=20)
    run_job(job, lambda message: None)

    assert ["diverged"] == [record.status for record in Store(tmp_path).read().records]
    assert [] == list((tmp_path / "records").glob("*.png"))


def test_a_picture_replaces_one_whose_attempt_left_no_record(tmp_path):
    """The same attempt is made again; nothing but the picture is left."""
    store = Store(tmp_path)
    store.make_writable()
    for png in (b"old", b"new"):
        path = store.save_picture("a" * 16, 1, png)

    assert (b"new", [path]) == (path.read_bytes(), list(store.folder.iterdir()))
