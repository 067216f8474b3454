"""The report: what stands in it and where, in which order, and what is written into the folder."""

import hashlib
import json
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
from resnet18.report.chapters import best_tables, best_verdicts, chapters_of, was_judged
from resnet18.report.document import figures_in
from resnet18.report.markdown import write_markdown
from resnet18.report.report import build_document, write_report
from resnet18.spec.errors import IntegrityError, SpecError
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import Part
from resnet18.spec.resolve import Request
from resnet18.tables.selection import select

DASH, DAGGER = "\N{EN DASH}", "\N{DAGGER}"
BEYOND = Path(__file__).parents[1] / "benchmarks" / "beyond"
SMALL, SMOKE = Request("small", "cifar10-jpeg"), Request()
TEN = plain_epochs(10)
NEAR = '{ kind = "close", metric = "best_accuracy", case = "16", reported = "about 75 %", margin = 1.0 }'


def row_of(text, name):
    """The cells of the first row of that name."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {name} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_report_names_data_scale_machine_scope_and_command(mine):
    """And no note stands in it without its reason."""
    text = text_of([mine], record_all([mine]))

    assert "# Paper scale, cifar10-jpeg" in text
    assert "a processor, 2 threads" in text
    assert "torch 2.14.1" in text
    assert "seconds of the whole program: training, statistics and the as-published evaluation" in text
    assert "`--scale paper --data imagefolder:cifar10-jpeg`" in text
    for words in ("Form of the optimizer", "Peak memory", f"1.62 {DAGGER}"):
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
    assert "reported, CIFAR-10, full size" in text
    assert "with train\\_images=640, with epochs=2" in text


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
        (SMOKE, (), ["2141 MiB", *[DASH] * 5]),
    ],
)
def test_memory_stands_by_source_beside_what_was_printed(request_, mebibytes, cells, tmp_path):
    """A source that gave nothing says why."""
    mine = make_benchmark(tmp_path, TOML + '[printed]\nmemory = [{ case = "8", printed = "2141 MiB" }]\n')
    sources = ("allocated_peak", "reserved_peak", "device_peak", "device_baseline", "process_peak", "rss_peak")
    memory = {f"{source}_bytes": value * 2**20 for source, value in zip(sources, mebibytes, strict=False)}
    text = text_of([mine], [changed(record, memory=memory) for record in record_all([mine], request_)])

    assert ["8", *cells, "1"] == row_of(text[text.index("Peak memory") :], "8")
    assert bool(memory) != ("- process (NVML): the attempt ended as ok before this was known." in text)


def test_a_table_with_few_of_its_cases_is_only_named():
    benchmarks = load_benchmarks(("augmentation", "optimizer"))
    text = text_of(benchmarks, record_all(benchmarks[1:], SMOKE))

    line = "- Table 1: augmentation (1 of 5 cases recorded): `resnet18 run augmentation --scale smoke` runs the others."
    assert line in text
    assert "## Table 1" not in text


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


def test_a_report_begins_with_four_sentences_then_every_statement_then_tables(tmp_path):
    mine = make_benchmark(tmp_path, TOML + CLAIM)
    text = text_of([mine], record_all([mine], seeds=(0, 1, 2)))
    lines = [
        "- **Run**: 6 runs",
        "- **Holds**",
        "- **Does not hold**",
        "- **Open**: 1 of 1 statement: 1 inconclusive (C9).",
        "| C9 ",
        "## A t",
    ]

    assert sorted(map(text.index, lines)) == list(map(text.index, lines))
    assert "- **C9 inconclusive**" in text
    assert "<b>" not in text


@pytest.mark.parametrize("shift", range(4))
def test_every_claim_of_the_suite_has_a_row_however_many_seeds_its_cases_have(shift):
    """From none to five, differently by case."""
    suite = load_benchmarks()
    records = record_all(suite, seeds=range(5), epochs=noisy_epochs)
    text = text_of(suite, [one for one in records if one.seed < (crc32(one.arm_id.encode()) + shift) % 6])

    for claim in (claim for benchmark in suite for claim in benchmark.claims):
        assert row_of(text, claim.id)[1] in {"supported", "contradicted", "inconclusive", "not judgeable", "not run"}


def statement(folder, checks, heights, request=PAPER, seeds=3, epochs=5):
    """The cells of the statement X1 on cases 8 and 16 that reach these heights in all epochs, with noise by seed."""
    printed = TOML.replace('"Out of Memory", w', '"80%", w')
    mine = make_benchmark(folder, printed + claims_toml(checks))
    noise = (0.0, 0.1, -0.1, 0.05, -0.05)

    def curve(run):
        height = heights[run.experiment.batch_size == 16]
        return make_curve(*[height + noise[run.experiment.seed]] * epochs)

    return row_of(text_of([mine], record_all([mine], request, range(seeds), curve)), "X1")


HIGHER = '{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }'
ORDER = '{ kind = "ranking", metric = "clean_accuracy", cases = ["16", "8"] }'
SMALL_PX = Request("paper", "cifar10-jpeg", ("image_size=64",))


@pytest.mark.parametrize(
    ("checks", "heights", "request_", "verdict", "of_report"),
    [
        (HIGHER, (60, 65), PAPER, "supported", "yes"),
        (HIGHER, (65, 60), PAPER, "contradicted", "yes"),
        (HIGHER, (60, 60.02), PAPER, "inconclusive", DASH),
        (HIGHER, (60, 65), SMALL, "holds at small scale", "no: scaled down"),
        (HIGHER, (65, 60), SMALL_PX, "does not hold at 64 px", "no: other image size"),
        (HIGHER, (65, 60), SMOKE, "does not hold on fashion-mnist-mini at smoke scale", "no: other data, scaled down"),
        (HIGHER.replace("clean_accuracy", "late_gain"), (60, 65), PAPER, "not judgeable", DASH),
    ],
)
def test_a_statement_says_what_holds_and_whether_that_is_of_the_lab_report(
    checks, heights, request_, verdict, of_report, tmp_path
):
    assert [verdict, of_report] == statement(tmp_path, checks, heights, request_)[1:3]


NOISE = "noise of clean test accuracy from epoch to epoch: "
TAU = "1 of 1 steps hold, 0 fail, 0 are open; Kendall's tau 1.00 \\[-0.43, 1.00\\], n = 3"


@pytest.mark.parametrize(
    ("checks", "reported", "measured"),
    [
        (HIGHER, "+10.00 points", "clean test accuracy: +5.00 points \\[+4.77, +5.23\\], n = 3"),
        (ORDER, "1 of 1 steps hold", TAU),
        (NEAR, "about 75 %", "best test accuracy, as published: 65.000 % \\[64.840, 65.160\\], n = 3"),
        (HIGHER.replace("clean_accuracy", "jitter"), DASH, NOISE + "+0.00000 points \\[-0.00065, +0.00065\\], n = 3"),
    ],
)
def test_a_statement_has_the_number_that_was_reported_beside_the_one_measured(checks, reported, measured, tmp_path):
    assert [reported, measured] == statement(tmp_path, checks, (60, 65))[3:5]


@pytest.mark.parametrize(("heights", "reported"), [((60, 65), "+10.00 points"), ((65, 60), "-10.00 points")])
def test_the_reported_number_of_two_near_cases_is_taken_as_the_measured_one_is(heights, reported, tmp_path):
    """The higher measured one minus the other, whichever was printed higher: 70 and 80 %."""
    near = '{ kind = "equivalent", metric = "clean_accuracy", cases = ["8", "16"], margin = 1.0 }'

    assert reported == statement(tmp_path, near, heights)[3]


def test_a_case_that_ended_without_a_result_has_its_cell_wherever_its_table_is_begun(tmp_path):
    """Also where it is the only one of many that was run; one of many with a result is listed."""
    more = "".join(f'[[case]]\nname = "{size}"\nexperiment = {{ batch_size = {size} }}\n' for size in (32, 64))
    mine = make_benchmark(tmp_path, TOML + more + CLAIM)
    ok, spec = record_all([mine])[0], record_all([mine])[1].spec
    failed = make_record(spec.experiment, spec.execution, request=PAPER, status="oom_device")

    row = re.search(r"^\| 16 +\|.*", text_of([mine], [failed]), re.M)
    assert row is not None
    assert row[0].count("Out of Memory") > 2
    assert "- A table (1 of 4 cases recorded)" in text_of([mine], [ok])


def test_reports_are_judged_each_by_itself(tmp_path):
    """A file of one's own is no part of the lab report: its claims do not count with those, nor those with its."""
    mine = make_benchmark(tmp_path, TOML + CLAIM)
    other = mine.model_copy(update={"name": "other", "report": "other", "title": "Another table"})
    text = text_of([mine, other], record_all([mine], seeds=(0, 1, 2)))

    assert "over 1 statement;" in text
    assert ["C9", "C9"] == re.findall(r"^\| (C9) ", text, re.M)
    assert text.index("| C9 ") < text.index("## Other tables: other") < text.rindex("| C9 ")


def test_the_best_evidence_of_a_table_is_shown_and_the_other_parts_are_linked(tmp_path):
    """Full size before small scale, whatever was recorded first; smoke runs last."""
    mine = make_benchmark(tmp_path, TOML + CLAIM)
    requests = SMOKE, SMALL, PAPER
    records = [record for request in requests for record in record_all([mine], request, range(3))]
    front = write_markdown(made_of([mine], records), "report.html")["README.md"]
    titles = "Paper scale, cifar10-jpeg", "Small scale, cifar10-jpeg", "Smoke scale, fashion-mnist-mini"
    links = ", ".join(f"[{title}](parts/{re.sub('[^a-z0-9]+', '-', title.lower())}.md)" for title in titles)

    assert f"Verdicts, notes and assumptions: {links}." in front
    assert titles[0] in row_of(front, "C9")[5]
    assert 1 == front.count("| Batch ")


SMALL_PART = {"benchmarks": ("basic",), "scale": "small", "data": "cifar10-jpeg", "seeds": 3}


def part(title, **changes):
    return Part(title=title, **{**SMALL_PART, **changes})


def chapters_of_parts(benchmarks, records, *parts):
    return chapters_of(benchmarks, records, parts)


def test_parts_of_a_study_are_headings_and_other_runs_come_last():
    (basic,) = load_benchmarks(("basic",))
    records = record_all([basic], SMALL) + record_all([basic], Request("paper", "cifar10"))
    document = build_document(
        [basic], Readings(tuple(records), ()), parts=[part("Few images"), part("Never run", scale="paper")]
    )

    assert ["Few images", "Paper scale, cifar10"] == [one.title for one in document.parts]


def test_a_part_of_some_cases_is_shown_where_half_of_these_are_recorded():
    """Two of five; the table of the answer is that of another part, which has all."""
    (table,) = load_benchmarks(("augmentation",))
    two = ("normalize, crop, rotation, flip", "all")
    records = [one for one in record_all([table], PAPER) if len(one.spec.experiment.augmentation) >= 5]
    some = part("Two rows", benchmarks=("augmentation",), cases=two, scale="paper")
    every = part("All rows, small", benchmarks=("augmentation",))
    (alone,) = chapters_of_parts([table], records, some)
    both = chapters_of_parts([table], records + record_all([table], SMALL), some, every)

    assert ["Table 1: augmentation"] == [selection.benchmark.title for selection in alone.shown]
    assert ["All rows, small"] == [chapter.title for chapter, _ in best_tables(both, "the lab report")]


def test_a_part_of_candidates_alone_shows_them_and_judges_nothing_again():
    (table,) = load_benchmarks(("augmentation",))
    runs = {"benchmarks": ("augmentation",)}
    candidate = next(run for run in part("x", hypotheses=True, **runs).plan({"cpu": 1}).runs if "[" in run.labels[0])
    named = part("Candidates", cases=candidate.labels, hypotheses=True, **runs)
    chapters = chapters_of_parts([table], record_all([table], SMALL, hypotheses=True), part("Cases", **runs), named)

    assert [("Cases", True), ("Candidates", False)] == [(one.title, bool(one.verdicts)) for one in chapters]


def test_parts_with_one_request_are_judged_together_and_times_are_those_that_count(tmp_path):
    """A second part of the same runs is no second judgement; a claim about times names the part whose times count."""
    (table,) = load_benchmarks(("optimizer",))
    runs = {"benchmarks": ("optimizer",)}
    records = record_all([table], SMALL, range(3), noisy_epochs)
    chapters = chapters_of_parts([table], records, part("Accuracies", **runs), part("Times", **runs, times=True))
    best = {one.verdict.claim.id: one for one in best_verdicts(chapters, "the lab report")}

    assert chapters[0].verdicts is chapters[1].verdicts
    assert ("Times", "Accuracies") == (best["D1"].chapter.title, best["D2"].chapter.title)
    assert () == best["D1"].others


def test_records_of_another_device_are_those_of_their_part():
    (basic,) = load_benchmarks(("basic",))
    on_cpu = record_all([basic], Request("small", "cifar10-jpeg", ("--device=cpu",)))

    assert ["Few images"] == [one.title for one in chapters_of_parts([basic], on_cpu, part("Few images"))]


def test_no_two_parts_have_one_page():
    (basic,) = load_benchmarks(("basic",))
    titles = "Few (images)", "Few: images", "全尺寸", "Reading"
    parts = [part(title, options=(f"epochs={at}",)) for at, title in enumerate(titles, 1)]
    records = [one for some in parts for one in record_all([basic], some.request)]

    assert ["few-images", "few-images-2", "part", "reading-2"] == [
        one.slug for one in chapters_of_parts([basic], records, *parts)
    ]


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


COMMAND = (
    "`resnet18 run mine.toml --scale paper --seeds 3 --case mine/16 --case mine/8 --data imagefolder:cifar10-jpeg` "
    "brings it to 3 seeds."
)


def test_what_to_type_for_an_open_statement_stands_below_the_table(tmp_path):
    mine = make_benchmark(tmp_path, TOML + claims_toml(HIGHER))

    assert f"- X1: {COMMAND}" in text_of([mine], record_all([mine]))


def test_runs_of_candidates_are_not_leftovers():
    (basic,) = load_benchmarks(("basic",))
    records = record_all([basic], seeds=(0, 1), hypotheses=True)
    (selection,) = select([basic], PAPER, records)
    shown = {run.record.run_id for run in made_of([basic], records).runs if run.places}

    assert "no case of these benchmarks describes" not in text_of([basic], records)
    assert {one.run_id for one in candidate_records(selection, PAPER, records)} <= shown


def test_predictions_stand_at_the_end_of_a_chapter(mine):
    """With the pictures of test images where they were kept, and are not damaged."""
    (record, *_), png = record_all([mine]), encode_picture(np.zeros((6, 4, 4, 3), dtype=np.uint8))
    kept, damaged = (
        build_document([mine], Readings((record,), ()), lambda _, png=png: png) for png in (png, b"no PNG")
    )
    *_, table, predictions = kept.parts[0].blocks
    files = [f"{kind}mine-paper-cifar10-jpeg.svg" for kind in ("", "confusion-", "samples-")]

    assert ("A table", "Predictions") == (table.title, predictions.title)
    text = 'A table, case "8", n = 1 seed, clean test images after the last epoch: 10 of 20 predictions are correct'
    assert (f"{text} (50.0 %).",) == predictions.blocks[0]
    assert files == [figure.file for figure in figures_in(kept.parts[0].blocks)]
    assert files[:2] == [figure.file for figure in figures_in(damaged.parts[0].blocks)]
    assert files[:1] == [figure.file for figure in figures_in(kept.answer)]


def test_figures_stand_beside_the_report_and_only_its_own_old_ones_go(mine, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "somebodys.svg").touch()
    write_report(tmp_path, [mine], Readings(tuple(record_all([mine], SMOKE)), ()))
    front = write_report(tmp_path, [mine], Readings(tuple(record_all([mine])), ())).read_text(encoding="utf-8")
    text = "".join(page.read_text(encoding="utf-8") for page in (tmp_path / "parts").iterdir())
    first, second = re.findall(r"\(../figures/([^)]+)\)", text)

    assert {first, second, "somebodys.svg"} == {path.name for path in (tmp_path / "figures").iterdir()}
    assert "[report.html](report.html)" in front


def test_verdicts_are_written_for_programs_with_both_words(tmp_path):
    mine = make_benchmark(tmp_path, TOML + claims_toml(HIGHER))
    records = record_all([mine], SMALL, range(3), lambda run: make_curve(50 + run.experiment.batch_size))
    write_report(tmp_path / "results", [mine], Readings(tuple(records), ()))
    (row,) = json.loads((tmp_path / "results" / "verdicts.json").read_text(encoding="utf-8"))

    assert ("Small scale, cifar10-jpeg", "mine", "X1") == (row["part"], row["report"], row["claim"])
    assert ("supported", ["scaled_down"]) == (row["here"], row["of_report"])
    assert (8.0, "points", 3) == (row["measured"], row["unit"], row["n"])


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
