"""Extrapolation: what training at full size would take, from slices of it and from nothing else."""

import pytest
from builders import changed, make_epoch, make_record

from resnet18.judge.verdict import judge
from resnet18.records.record import Score
from resnet18.records.store import Readings
from resnet18.report.contents import contents_of
from resnet18.report.report import render_report
from resnet18.report.section import section
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request
from resnet18.tables.extrapolation import extrapolation_note
from resnet18.tables.selection import select
from resnet18.tables.tables import build_table

OPTIONS = ("train_images=640", "epochs=2", "test_images_last=20")
SLICE = Request(scale="paper", data="cifar10-jpeg", overrides=OPTIONS)
ROW = "Run Time (s), extrapolated to full size"
REPORTED = "Run Time (s), reported at full size"


@pytest.fixture(scope="module")
def device():
    return load_benchmarks(("device",))[0]


def record_slices(device, seconds, request=SLICE, case="CPU", cpu="a processor"):
    """One record for each time of an epoch of 640 images, of which a run has two."""
    return [
        make_record(
            run.experiment,
            run.execution,
            request=request,
            epochs=tuple(
                make_epoch(one, train_s=seconds[run.experiment.seed], train=Score(loss=2.0, correct=15, images=640))
                for one in (1, 2)
            ),
            cpu=cpu,
        )
        for run in plan([device], request, range(len(seconds)), {"cpu": 1}).runs
        if f"device/{case}" in run.labels
    ]


def cells(device, records, request=SLICE):
    (view,) = select([device], request, records)
    return build_table(view, request).set_index("Device")


def test_a_slice_is_extrapolated_by_the_images_that_pass_through_training(device):
    """25.6 s for 640 images, 500,000 images in ten epochs: 20,000 s; 31.25 s more for each 0.04 s an epoch.

    Times 25.6, 26.0 and 25.2 s an epoch: mean 20,000 s, standard deviation 312.5, times 4.3027 / sqrt(3).
    """
    table = cells(device, record_slices(device, (25.6, 26.0, 25.2)))

    assert "20,000 [19,224, 20,776]" == table.loc[ROW, "CPU"]


def test_one_run_has_no_interval(device):
    """Nothing tells how the next would differ."""
    assert "20,000 (n = 1: no interval)" == cells(device, record_slices(device, (25.6,))).loc[ROW, "CPU"]


def test_a_case_without_runs_is_not_extrapolated(device):
    """Its speed is not that of another."""
    assert "not run: no CUDA device" == cells(device, record_slices(device, (25.6,))).loc[ROW, "GPU"]


def test_the_reported_time_stands_beside_the_extrapolated_one(device):
    """Options hide reported values as a rule; these options change how much is run and nothing else."""
    assert "34933.53377" == cells(device, record_slices(device, (25.6,))).loc[REPORTED, "CPU"]


def test_the_heading_says_that_reported_values_stand_beside_extrapolated_ones_alone(device):
    """And not that there are none: one stands in the table."""
    records = [one for case in ("CPU", "CPU, tuned") for one in record_slices(device, (25.6,), case=case)]
    text = render_report([device], Readings(tuple(records), ()))[0]

    assert "- Reported values stand only beside extrapolated times: an option changed the experiment." in text
    assert "are left out" not in text


def test_the_heading_says_nothing_of_extrapolated_times_where_a_table_prints_none():
    """A slice of a table of accuracies alone."""
    (basic,), slice_ = load_benchmarks(("basic",)), Request("small", "cifar10-jpeg", ("epochs=5",))
    runs = plan([basic], slice_, [0], {"cpu": 1}).runs
    records = tuple(make_record(run.experiment, run.execution, request=slice_) for run in runs)

    assert "- Reported values are left out: an option" in render_report([basic], Readings(records, ()))[0]


def test_the_reported_accuracy_does_not_stand_beside_that_of_a_slice(device):
    """An accuracy does not grow with the images in proportion."""
    table = cells(device, record_slices(device, (25.6,)))

    assert "\N{EN DASH}" == table.loc["Best Test Acc, reported", "CPU"]


@pytest.mark.parametrize(
    "request_",
    [
        Request(scale="small", data="cifar10-jpeg"),
        Request(scale="paper", data="cifar10-jpeg", overrides=(*OPTIONS, "width=16")),
        Request(scale="paper", data="my-photos", overrides=OPTIONS),
        Request(scale="paper", data="cifar10-jpeg", overrides=("train_images=50000",)),
        Request(scale="paper", data="cifar10-jpeg"),
    ],
    ids=["another image size", "another width", "images nobody counted", "as many images", "full size"],
)
def test_only_a_slice_is_extrapolated(device, request_):
    """What differs in anything but how much is run takes another time for an image."""
    assert ROW not in cells(device, record_slices(device, (25.6,), request_), request_).index


def test_slices_of_several_machines_are_not_averaged(device):
    """Nobody has their mean."""
    one, _ = record_slices(device, (25.6, 26.0))
    _, other = record_slices(device, (25.6, 26.0), cpu="another processor")

    assert "several machines: not averaged" == cells(device, [one, other]).loc[ROW, "CPU"]


def test_slices_of_an_unknown_machine_are_not_averaged(device):
    """They may come from two."""
    records = record_slices(device, (25.6, 26.0), cpu="unknown")

    assert "an unknown machine: not averaged" == cells(device, records).loc[ROW, "CPU"]


def test_an_unreliable_time_is_not_extrapolated(device):
    """It would be a thousandfold as unreliable; where every time is, the table has no such row."""
    alone, beside = record_slices(device, (25.6,)), record_slices(device, (2.56,), case="CPU, tuned")
    beside = [changed(record, flags=["not_exclusive"]) for record in beside]

    assert "not extrapolated \N{DAGGER}" == cells(device, [*alone, *beside]).loc[ROW, "CPU, tuned"]
    assert ROW not in cells(device, beside).index


def test_the_table_says_what_an_extrapolation_is_made_of(device):
    """Of how many images, and what its interval leaves out."""
    (view,) = select([device], SLICE, record_slices(device, (25.6,)))
    (note,) = extrapolation_note(view.cases, device, SLICE)

    assert "500,000 images from 1,280" in note
    assert note in section(view, (view,), SLICE, [], [])


def test_where_nothing_was_judged_there_is_no_table_of_verdicts(device):
    """The summary says why, in fewer lines."""
    text = render_report([device], Readings(tuple(record_slices(device, (25.6,))), ()))[0]

    assert "0 inconclusive, 3 not run" in text
    assert "### Verdicts" not in text


def test_what_was_judged_comes_before_what_was_not(device):
    """A slice is of the largest scale, and the smallest run that bears on a claim says more."""
    (basic,), small = load_benchmarks(("basic",)), Request("small", "cifar10-jpeg")
    (run,) = plan([basic], small, [0], {"cpu": 1}).runs
    epochs = tuple(make_epoch(one) for one in range(1, 11))
    judged = make_record(run.experiment, run.execution, request=small, epochs=epochs)
    readings = Readings((*record_slices(device, (25.6,)), judged), ())
    chapters = contents_of([basic, device], readings, lambda _: None).chapters

    assert [(small, True), (SLICE, False)] == [(one.request, one.judges) for one in chapters]


def test_a_slice_decides_no_claim(device):
    """Whatever it was extrapolated to."""
    records = [
        *record_slices(device, (25.6, 26.0, 25.2)),
        *record_slices(device, (2.56, 2.6, 2.52), case="CPU, tuned"),
    ]

    assert {"not run"} == {verdict.word for verdict in judge([device], select([device], SLICE, records), SLICE)}
