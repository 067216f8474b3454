"""The report: what stands in it and where, in which order, and what is written into the folder."""

import hashlib
import re
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from builders import TOML, changed, claims_toml, make_benchmark, make_curve, make_epoch, make_record, under
from reports import CLAIM, PAPER, elsewhere, made_of, noisy_epochs, plain_epochs, record_all, text_of

from resnet18.judge.hypotheses import candidate_records
from resnet18.records.checkpoints import encode_picture
from resnet18.records.record import Score
from resnet18.records.store import Readings, Store
from resnet18.report.document import Judgement, figures_in
from resnet18.report.report import build_document, chapters_of, write_report
from resnet18.report.verdicts import was_judged
from resnet18.spec.errors import IntegrityError, SpecError
from resnet18.spec.load import load_benchmarks
from resnet18.spec.resolve import Request
from resnet18.tables.selection import select

DASH, DAGGER = "\N{EN DASH}", "\N{DAGGER}"
BEYOND = Path(__file__).parents[1] / "benchmarks" / "beyond"
SMALL, SMOKE = Request("small", "cifar10-jpeg"), Request()
TEN = plain_epochs(10)


def row_of(text, name):
    """The cells of the first row of that name."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {name} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_report_names_data_scale_machine_scope_and_command(mine):
    """And no note stands in it without its reason."""
    text = text_of([mine], record_all([mine]))

    assert "## Paper scale, cifar10-jpeg" in text
    assert "a processor, 2 threads" in text
    assert "torch 2.14.1" in text
    assert "seconds of the whole program: training, statistics and the as-published evaluation" in text
    assert "`--scale paper --data imagefolder:cifar10-jpeg`" in text
    for words in ("Form of the optimizer", "Peak memory", DAGGER):
        assert words not in text


def test_assumptions_stand_under_their_table_with_value_and_source():
    (basic,) = load_benchmarks(("basic",))
    text = text_of([basic], record_all([basic]))

    assert "- `image_size` = 32: public script: a variant with ToTensor alone, which leaves 32 px" in text
    assert "- loader: public script: images shuffled" in text
    assert len(basic.assumptions) == len(re.findall(r"^- (?:`[a-z_.]+` = |initialisation: |loader: )", text, re.M))


def test_an_extrapolated_time_stands_with_what_it_is_made_of():
    (device,), options = load_benchmarks(("device",)), ("train_images=640", "epochs=2", "test_images_last=20")
    epochs = [make_epoch(at, train=Score(loss=2.0, correct=15, images=640)) for at in (1, 2)]
    records = record_all([device], Request("paper", "cifar10", options), epochs=lambda _: epochs)
    text = text_of([device], [record for record in records if record.spec.execution.device == "cpu"])

    assert "500,000 images from 1,280" in text
    assert "- Reported values are shown only beside extrapolated times: an option changed the experiment." in text
    assert "0 inconclusive, 0 not judgeable, 3 not run" in text
    assert "### Verdicts" not in text


def unreliable(mine, reason="other work"):
    return [changed(record, flags=["unreliable"], unreliable_because=[reason]) for record in record_all([mine])]


def test_a_dagger_is_explained_with_its_causes(mine):
    assert (
        f"- {DAGGER}: the times of 2 of 2 runs are unreliable, so no verdict and no speed-up uses them. "
        r"Reasons: other \<b\>processes\</b\> took 80 %."
    ) in text_of([mine], unreliable(mine, "other <b>processes</b> took 80 %"))


def with_first_epoch(first_s):
    return {"epochs": lambda _: [make_epoch(at, train_s=train_s) for at, train_s in enumerate((first_s, 2.0, 2.0), 1)]}


WAITING = {"epochs": lambda run: [make_epoch(1, data_wait_s={8: 0.9, 16: 0.5}[run.experiment.batch_size])]}
BF16 = Request("paper", "cifar10-jpeg", ("precision=bf16",))
NOTES = {
    'The data loader limits these times (share of training spent waiting for data): "8" (90 %).': WAITING,
    "The first epoch was 50 % slower than later epochs (median of 2 runs).": with_first_epoch(3.0),
    "The first epoch was 25 % faster than later epochs (median of 2 runs).": with_first_epoch(1.5),
    "Path and precision: reference, fp32.": {"numerics": {"precision": "fp32"}},
    "Path and precision: reference, fp32 instead of bf16.": {"request": BF16, "numerics": {"precision": "fp32"}},
}


@pytest.mark.parametrize("note", NOTES)
def test_notes_say_what_times_measure(note, mine):
    assert f"\n- {note}\n" in text_of([mine], record_all([mine], **NOTES[note]))


def test_a_table_whose_optimizers_have_several_forms_says_so(mine):
    loop, fused = (record_all([mine], numerics={"optimizer_form": form}) for form in ("loop", "fused"))

    assert '\n- Form of the optimizer: loop ("8"); fused ("16").\n' in text_of([mine], [loop[0], fused[1]])


@pytest.mark.parametrize(
    ("request_", "mebibytes", "cells"),
    [
        (PAPER, (1000, 1200, 2155, 14, 2140, 3000), ["2141 MiB", "1,000", "1,200", "2,141", "2,140", "3,000"]),
        (PAPER, (), ["2141 MiB", *[DASH] * 5]),
        (SMOKE, (), [DASH] * 6),
    ],
)
def test_memory_stands_by_source_beside_what_was_printed(request_, mebibytes, cells, tmp_path):
    """A source that gave nothing says why."""
    mine = make_benchmark(tmp_path, TOML + '[printed]\nmemory = [{ case = "8", printed = "2141 MiB" }]\n')
    sources = ("allocated_peak", "reserved_peak", "device_peak", "device_baseline", "process_peak", "rss_peak")
    memory = {f"{source}_bytes": value * 2**20 for source, value in zip(sources, mebibytes, strict=False)}
    text = text_of([mine], [changed(record, memory=memory) for record in record_all([mine], request_)])

    assert ["8", *cells, "1"] == row_of(text, "8")
    assert bool(memory) != ("- process (NVML): the attempt ended as ok before this was known." in text)


def test_a_table_with_few_of_its_cases_is_only_named():
    benchmarks = load_benchmarks(("augmentation", "optimizer"))
    text = text_of(benchmarks, record_all(benchmarks[1:], SMOKE))

    line = "- Table 1: augmentation (1 of 5 cases recorded): `resnet18 run augmentation --scale smoke` runs the others."
    assert line in text
    assert "### Table 1" not in text


def test_nothing_in_the_folder_vanishes_silently(mine):
    text = text_of([mine], [*record_all([mine]), make_record()], [IntegrityError("x.json", "is no record")])

    assert "no case of these benchmarks describes them: 1." in text
    assert "name it: `resnet18 report FILE`" in text
    assert "Left out: x.json: is no record" in text


def test_a_report_is_an_index_of_its_records(mine):
    records = record_all([mine], seeds=(0, 1, 2))
    hashes = "\n".join(sorted(record.record_hash for record in records))
    index = hashlib.sha256(hashes.encode()).hexdigest()
    line = f"6 records. Folders with the same records have the same SHA-256: `{index}`."

    assert line in text_of([mine], records[::-1]).splitlines()
    assert line not in text_of([mine], records[1:]).splitlines()


def test_order_locale_and_time_zone_change_no_byte(mine, monkeypatch):
    records = record_all([mine], seeds=(0, 1, 2))
    here = text_of([mine], records)
    with elsewhere(monkeypatch):
        there = [text_of([mine], records[at:] + records[:at]) for at in range(len(records))]

    assert {here} == set(there)


def test_verdicts_come_first_and_again_under_their_table(tmp_path):
    mine = make_benchmark(tmp_path, TOML + CLAIM)
    text = text_of([mine], record_all([mine], seeds=(0, 1, 2)))

    assert "Of 1 claim of mine: **0 supported, 0 contradicted, 1 inconclusive, 0 not judgeable, 0 not run**" in text
    assert text.index("### Summary") < text.index("### Verdicts") < text.index("### A table")
    assert "- **C9 inconclusive**" in text[text.index("### A table") :]
    assert "<b>" not in text
    assert "All verdicts" not in text


@pytest.mark.parametrize("shift", range(4))
def test_every_claim_of_the_suite_has_a_verdict_however_many_seeds_its_cases_have(shift):
    """From none to five, differently by case."""
    suite = load_benchmarks()
    records = record_all(suite, seeds=range(5), epochs=noisy_epochs)
    text = text_of(suite, [one for one in records if one.seed < (crc32(one.arm_id.encode()) + shift) % 6])

    for claim in (claim for benchmark in suite for claim in benchmark.claims):
        assert row_of(text, claim.id)[2] in {"supported", "contradicted", "inconclusive", "not judgeable", "not run"}


def test_reports_are_judged_each_by_itself(tmp_path):
    """A file of one's own is no part of the lab report: its claims do not count with those, nor those with its."""
    mine = make_benchmark(tmp_path, TOML + CLAIM)
    other = mine.model_copy(update={"name": "other", "report": "other", "title": "Another table"})
    text = text_of([mine, other], record_all([mine], seeds=(0, 1, 2)))

    assert all(f"### Summary: {name}" in text for name in ("mine", "other"))
    assert 2 == text.count("over all 1 claims")


def test_a_report_that_only_shares_runs_of_another_is_not_judged_beside_it():
    """Of its six cases, Table 1 has one. A report of which nothing else is recorded is judged all the same."""
    augmentation, alone = load_benchmarks(("augmentation", str(BEYOND / "augmentation-alone.toml")))
    records = record_all([augmentation], SMALL)
    beside = chapters_of([augmentation, alone], records)[0]
    by_itself = chapters_of([alone], record_all([alone], SMALL)[:1])[0]

    assert (["the lab report"], ["augmentation-alone"]) == (list(beside.verdicts), list(by_itself.verdicts))
    assert "1 of 6 cases recorded): `resnet18 run augmentation-alone.toml" in text_of([augmentation, alone], records)


def test_what_was_judged_comes_before_what_was_not():
    """A slice is of the largest scale, and the smallest run that bears on a claim says more."""
    basic, device = load_benchmarks(("basic", "device"))
    slice_ = Request("paper", "cifar10-jpeg", ("train_images=640", "epochs=2"))
    slices = [record for record in record_all([device], slice_) if record.spec.execution.device == "cpu"]
    records = [*slices, *record_all([basic], SMALL, epochs=TEN)]
    chapters = chapters_of([basic, device], records)

    assert [(SMALL, True), (slice_, False)] == [
        (chapter.request, any(map(was_judged, chapter.verdicts.values()))) for chapter in chapters
    ]


def summary_of(folder, checks, seeds, height):
    """The lines of a summary: 8 reaches 50 %, 16 reaches 55 %, 32 this height, with some noise by seed."""
    case = '[[case]]\nname = "32"\nexperiment = { batch_size = 32 }\n'
    mine = make_benchmark(folder, TOML + case + claims_toml(checks))
    noise = (0.0, 0.1, -0.1, 0.05, -0.05)

    def epochs(run):
        return make_curve({8: 50, 16: 55, 32: height}[run.experiment.batch_size] + noise[run.experiment.seed])

    (chapter,) = made_of([mine], record_all([mine], seeds=range(seeds), epochs=epochs)).sections
    (judged,) = [block for block in chapter.blocks if isinstance(block, Judgement)]
    return ["".join(item) for item in judged.summary[1]]


AGREES = '{ kind = "greater", metric = "clean_accuracy", case = "32", than = "16" }'
TOO_SHORT = '{ kind = "greater", metric = "late_gain", case = "32", than = "16" }'
COMMAND = "resnet18 run mine.toml --scale paper --seeds {} --data imagefolder:cifar10-jpeg {}."
ALIKE = "epochs tested on equally many images"
LACKS = f"clean test accuracy, last quarter of epochs minus the quarter before: needs 8 {ALIKE}"
NEAREST = "Inconclusive. If the estimates were exact, these seeds would probably decide: X1 ({})."
NEVER = f"Not judgeable: X1 ({LACKS})."


@pytest.mark.parametrize(
    ("checks", "seeds", "height", "line"),
    [
        (AGREES, 1, 55, COMMAND.format(3, "allows a first test")),
        (AGREES, 3, 55.3, COMMAND.format(5, "will probably decide X1")),
        (AGREES, 3, 55.3, NEAREST.format("5 seeds: supported")),
        (AGREES, 3, 54.7, NEAREST.format("5 seeds: contradicted")),
        (f"{AGREES}, {TOO_SHORT}", 3, 55.3, NEVER),
        (AGREES, 5, 60, "X1 supported (it is so): clean test accuracy: "),
        (AGREES, 5, 50, "X1 contradicted (it is so): clean test accuracy: "),
    ],
)
def test_a_summary_says_how_a_claim_stands_and_what_to_type_next(checks, seeds, height, line, tmp_path):
    assert any(one.startswith(line) for one in summary_of(tmp_path, checks, seeds, height))


def test_runs_of_candidates_are_not_leftovers():
    (basic,) = load_benchmarks(("basic",))
    records = record_all([basic], seeds=(0, 1), hypotheses=True)
    (selection,) = select([basic], PAPER, records)
    shown = {run.record.run_id for run in made_of([basic], records).runs if run.places}

    assert "no case of these benchmarks describes" not in text_of([basic], records)
    assert {one.run_id for one in candidate_records(selection, PAPER, records)} <= shown


def test_predictions_stand_at_the_end_of_a_chapter(mine):
    """With the pictures of test images where they were kept, and are not damaged."""
    record = changed(record_all([mine])[0], samples=[{"index": 3, "label": 0, "prediction": 1}], classes=["cat"])
    png = encode_picture(np.zeros((1, 4, 4, 3), dtype=np.uint8))
    kept, damaged = (
        build_document([mine], Readings((record,), ()), lambda _, png=png: png) for png in (png, b"no PNG")
    )
    *_, table, predictions = kept.sections[0].blocks
    files = ["mine-paper-cifar10-jpeg.svg", "confusion-paper-cifar10-jpeg.svg", "samples-paper-cifar10-jpeg.svg"]

    assert ("A table", "Predictions") == (table.title, predictions.title)
    text = 'A table, case "8", n = 1 seed, clean test images after the last epoch: 5 of 6 predictions are correct'
    assert (f"{text} (83.3 %).",) == predictions.blocks[0]
    assert files == [figure.file for figure in figures_in(kept.sections)]
    assert files[:2] == [figure.file for figure in figures_in(damaged.sections)]


def test_figures_stand_beside_the_report_and_only_its_own_old_ones_go(mine, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "somebodys.svg").touch()
    write_report(tmp_path, [mine], Readings(tuple(record_all([mine], SMOKE)), ()))
    text = write_report(tmp_path, [mine], Readings(tuple(record_all([mine])), ())).read_text(encoding="utf-8")
    first, second = re.findall(r"\(figures/([^)]+)\)", text)

    assert {first, second, "somebodys.svg"} == {path.name for path in (tmp_path / "figures").iterdir()}
    assert "[report.html](report.html)" in text


@pytest.mark.parametrize("name", ["README.md", "report.html"])
def test_a_page_that_nobody_here_made_is_not_replaced(name, mine, tmp_path):
    (tmp_path / name).write_text("my project", encoding="utf-8")

    with pytest.raises(SpecError, match="was not made by this command"):
        write_report(tmp_path, [mine], Readings(tuple(record_all([mine])), ()))
    assert {"mine.toml", name} == {path.name for path in tmp_path.iterdir()}


def test_what_others_took_from_runs_whose_times_count_is_told(mine):
    """Not 0.05 CPUs, which a quiet machine has too; and not what makes a time unreliable, here 0.60 CPUs."""
    quiet, *disturbed, unreliable = record_all([mine], seeds=(0, 1))
    records = [
        under(quiet, cpus=2, cpu_others_share=0.025),
        *(under(record, cpus=2, cpu_others_share=share) for record, share in zip(disturbed, (0.04, 0.15), strict=True)),
        changed(under(unreliable, cpus=2, cpu_others_share=0.3), flags=["unreliable"]),
    ]

    assert (
        "- Other programs or the hypervisor took more than 0.05 CPUs from 2 of 3 runs whose times count, at most 0.30. "
        "That makes them longer, most with small batches; times are compared seed by seed."
    ) in text_of([mine], records)


@pytest.mark.parametrize("accepted", [False, True])
def test_unreliable_times_count_only_where_asked_for(accepted, mine, tmp_path):
    readings = Readings(tuple(unreliable(mine)), ())
    path = write_report(tmp_path / "results", [mine], readings, accept_unreliable=accepted)

    for page in (path, path.with_name("report.html")):
        text = re.sub("<[^>]+>", "", page.read_text(encoding="utf-8"))
        assert (accepted, not accepted) == ("--accept-unreliable" in text, f"1.62 {DAGGER}" in text)


def test_everything_that_is_written_lies_inside_the_results_folder(tmp_path):
    hostile = ("../../x", "CON", "a" * 200, "..\\\\..\\\\x", "/etc/passwd")
    case = '\n[[case]]\nname = "{}"\nexperiment = {{ batch_size = {} }}\n'
    mine = make_benchmark(tmp_path, TOML + "".join(case.format(name, 32 + at) for at, name in enumerate(hostile)))
    store = Store(tmp_path / "deep" / "er" / "results")
    store.make_writable()
    for record in record_all([mine], Request(overrides=('stem="imagenet" # ../../../y',))):
        store.save(changed(record, classes=["../../z", "NUL"]))
        store.picture_path(record.run_id, record.attempt).touch()
    write_report(store.results, [mine], store.read())
    written = [path for path in tmp_path.rglob("*") if path.is_file()]

    assert [tmp_path / "mine.toml"] == [path for path in written if not path.resolve().is_relative_to(store.results)]
    assert all(set(path.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-.README") for path in written)
