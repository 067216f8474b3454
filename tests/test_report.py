"""The report: measured beside reported where that is honest, a word where there is no number."""

import contextlib
import itertools
import locale
import re
import time

import pytest
from builders import TOML, make_benchmark, make_epoch, make_record

from resnet18.records.store import Readings
from resnet18.report.figures import learning_curves
from resnet18.report.report import render_report, write_report
from resnet18.report.section import carried_out_on
from resnet18.spec.errors import IntegrityError, SpecError
from resnet18.spec.experiment import Execution
from resnet18.spec.load import load_benchmarks
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request
from resnet18.tables.markdown import escape
from resnet18.tables.metrics import best_accuracy, clean_accuracy, train_s, whole_program_s
from resnet18.tables.selection import devices_of, reported_head, select
from resnet18.tables.tables import build_table

PAPER = Request(scale="paper", data="cifar10-jpeg")


@pytest.fixture
def mine(tmp_path):
    return make_benchmark(tmp_path)


def record_all(mine, request, seeds=(0,), correct=(10, 12, 14), **options):
    """One record for each case and seed; the seed chooses the accuracy."""
    return [
        make_record(
            run.experiment,
            run.execution,
            request=request,
            epochs=(make_epoch(1, correct[run.experiment.seed]),),
            **options,
        )
        for run in plan([mine], request, seeds, {"cpu": 1}).runs
    ]


def cells(mine, request, records):
    (view,) = select([mine], request, records)
    return build_table(view, request).set_index("Batch")


def text_of(benchmarks, records, refused=()):
    return render_report(benchmarks, Readings(tuple(records), tuple(refused)))[0]


def test_measured_stands_beside_reported_as_it_was_printed(mine):
    """Mean and 95 % interval over three seeds, optimism gap, both errors, times, n, and the report's own strings."""
    table = cells(mine, PAPER, record_all(mine, PAPER, (0, 1, 2)))

    assert {
        "Accuracy, reported": "70%",
        "Accuracy, measured on cifar10-jpeg (best epoch, as published)": "60.00 % [35.16, 84.84]",
        "Accuracy, measured on cifar10-jpeg (median of the last three epochs, clean)": "60.00 % [35.16, 84.84]",
        "Optimism gap (points)": "+0.00 [+0.00, +0.00]",
        "Error of seeds / of sampling (points)": "10.00 / 10.95",
        "Time, reported": "12.5",
        "Time, measured on cifar10-jpeg (s)": "1.62",
        "n (seeds)": "3",
    } == table["8"].to_dict()


def test_the_optimism_gap_is_best_as_published_less_clean(mine):
    """In points, from the same run: 18 of 20 less 14 of 20."""
    epochs = (make_epoch(1, 14, published=18), make_epoch(2, 14, published=10))
    (run,) = [one for one in plan([mine], PAPER, [0], {"cpu": 1}).runs if one.experiment.batch_size == 8]
    table = cells(mine, PAPER, [make_record(run.experiment, run.execution, request=PAPER, epochs=epochs)])

    assert "+20.00" == table.loc["Optimism gap (points)", "8"]


def test_times_are_a_median_with_the_lowest_and_the_highest(mine):
    """An outlier moves a mean."""
    (run,) = [one for one in plan([mine], PAPER, [0], {"cpu": 1}).runs if one.experiment.batch_size == 8]
    records = [
        make_record(
            run.experiment.model_copy(update={"seed": seed}),
            run.execution,
            request=PAPER,
            epochs=(make_epoch(1, train_s=seconds, statistics_s=0.0, eval_as_published_s=0.0),),
        )
        for seed, seconds in enumerate((12.0, 11.0, 40.0))
    ]

    assert "12.0 [11.0 to 40.0]" == cells(mine, PAPER, records).loc["Time, measured on cifar10-jpeg (s)", "8"]


def test_one_seed_has_no_spread(mine):
    """There is none to tell."""
    table = cells(mine, PAPER, record_all(mine, PAPER))

    assert "50.00 %" == table.loc["Accuracy, measured on cifar10-jpeg (median of the last three epochs, clean)", "8"]
    assert "\N{EN DASH} / 11.18" == table.loc["Error of seeds / of sampling (points)", "8"]


@pytest.mark.parametrize(
    ("request_", "head"),
    [
        (Request(scale="paper"), "reported"),
        (PAPER, "reported"),
        (Request(scale="small"), "reported at full size"),
        (Request(scale="smoke"), None),
        (Request(scale="smoke", data="cifar10"), None),
        (Request(scale="paper", data="my-photos"), None),
        (Request(scale="paper", data="cifar10-c"), None),
        (Request(scale="paper", overrides=("epochs=3",)), None),
        (Request(scale="paper", overrides=("optimizer.lr=0.1",)), None),
        (Request(scale="paper", overrides=("threads=1", "--device=cpu")), "reported"),
    ],
)
def test_reported_values_stand_only_where_they_may_be_compared(request_, head):
    """CIFAR-10, at full size or under a head that says otherwise, with no key of the experiment changed."""
    assert head == reported_head(request_)


def test_a_table_says_on_which_path_and_in_which_precision_it_was_made(mine):
    """Both as they ran: the second case was asked for in bf16 and fell back."""
    one, other = plan([mine], PAPER, [0], {"cpu": 1}).runs
    asked = other.execution.model_copy(update={"precision": "bf16", "fallback": True})
    text = text_of([mine], [make_record(one.experiment, one.execution, request=PAPER)])
    fell_back = make_record(other.experiment, asked, request=PAPER, numerics={"precision": "fp32"})

    assert "\n- Carried out on the reference path, fp32.\n" in text
    assert "reference path, fp32 instead of bf16" == carried_out_on(fell_back)


def test_a_table_whose_optimizers_have_several_forms_says_so(mine):
    """A time column then compares forms too."""
    records = [
        make_record(run.experiment, run.execution, request=PAPER, numerics={"optimizer_form": form})
        for run, form in zip(plan([mine], PAPER, [0], {"cpu": 1}).runs, ("loop", "fused"), strict=True)
    ]

    assert '\n- Optimizer in the form: loop ("8"); fused ("16").\n' in text_of([mine], records)
    assert "Optimizer in" not in text_of([mine], records[:1])


def test_on_other_data_the_reported_row_stays_empty(mine):
    """With a dash, not with nothing."""
    request = Request()
    table = cells(mine, request, record_all(mine, request))

    assert ["\N{EN DASH}"] * 2 == table.loc["Accuracy, reported"].tolist()


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("oom_device", "Out of Memory"),
        ("oom_host", "Out of Memory (host)"),
        ("diverged", "diverged"),
        ("crashed", "crashed"),
        ("timeout", "timed out"),
        ("interrupted", "interrupted"),
        ("unsupported", "unsupported"),
    ],
)
def test_a_run_without_a_result_is_a_word_in_its_cell(status, word, mine):
    """Never dropped."""
    one, other = record_all(mine, PAPER)
    failed = make_record(other.spec.experiment, request=PAPER, status=status)
    table = cells(mine, PAPER, [one, failed])

    assert word == table.loc["Accuracy, measured on cifar10-jpeg (median of the last three epochs, clean)", "16"]
    assert f"0 + 1 {word}" == table.loc["n (seeds)", "16"]


def test_a_mean_over_fewer_seeds_says_how_the_others_ended(mine):
    """2 of 3."""
    records = record_all(mine, PAPER, (0, 1, 2))
    records[0] = make_record(records[0].spec.experiment, request=PAPER, status="diverged")

    assert "2 + 1 diverged" == cells(mine, PAPER, records).loc["n (seeds)", "8"]


def test_a_case_that_was_not_run_says_so(mine):
    """Half of the table is there."""
    table = cells(mine, PAPER, record_all(mine, PAPER)[:1])

    assert "not run" == table.loc["Time, measured on cifar10-jpeg (s)", "16"]


def test_a_case_whose_device_is_absent_says_which():
    """Table 4 on a machine without a GPU."""
    (device,) = load_benchmarks(("device",))
    (view,) = select([device], PAPER, record_all(device, PAPER))
    table = build_table(view, PAPER).set_index("Device")

    assert "not run: no CUDA device" == table.loc["Run Time (s), measured on cifar10-jpeg", "GPU"]
    assert "791.5949" == table.loc["Run Time (s), reported", "GPU"]


@pytest.mark.parametrize(("device", "present"), [("cpu", {"cpu": 1}), ("cuda", {"cuda": 1}), ("cuda:3", {"cuda": 4})])
def test_a_record_tells_of_the_devices_up_to_its_own(device, present):
    """Those before its own number are there too."""
    record = make_record(execution=Execution(device=device), numerics={"device": device.partition(":")[0]})

    assert {"cpu": 1, **present} == devices_of([record])


def test_runs_of_two_machines_are_not_averaged(mine):
    """Their times have nothing in common."""
    records = record_all(mine, PAPER) + record_all(mine, PAPER, (1,), cpu="another processor")

    assert (
        "several machines: not averaged" == cells(mine, PAPER, records).loc["Time, measured on cifar10-jpeg (s)", "8"]
    )


def test_runs_of_an_unknown_machine_are_not_averaged(mine):
    """They may come from two; one run alone has its time."""
    records = record_all(mine, PAPER, cpu="unknown")
    row = "Time, measured on cifar10-jpeg (s)"

    assert "unknown" not in cells(mine, PAPER, records).loc[row, "8"]
    records += record_all(mine, PAPER, (1,), cpu="unknown")
    assert "an unknown machine: not averaged" == cells(mine, PAPER, records).loc[row, "8"]


def test_the_last_attempt_counts(mine):
    """Not the first, and not both."""
    crashed = [make_record(one.spec.experiment, request=PAPER, status="crashed") for one in record_all(mine, PAPER)]
    again = record_all(mine, PAPER, attempt=2)

    text = text_of([mine], [*again, *crashed])

    assert ["1", "1"] == re.findall(r"\| +(\d) (?=.*\|$)", text[text.index("| n (seeds)") :].splitlines()[0])


def test_table_1_has_the_reports_columns_and_a_size():
    """Rows are cases, operations are yes or no."""
    (augmentation,) = load_benchmarks(("augmentation",))
    (view,) = select([augmentation], PAPER, record_all(augmentation, PAPER))
    table = build_table(view, PAPER)

    assert ["none", "no", "no", "no", "no", "no", "no", "32", "75.49%"] == table.iloc[0, :9].tolist()
    assert ["all", "yes", "yes", "yes", "yes", "yes", "yes", "224", "80.66%"] == table.iloc[4, :9].tolist()


def test_cells_that_look_like_numbers_stay_as_they_are(mine):
    """`1898.680` keeps its zero, `1e5` is no 100000."""
    changed = mine.model_copy(
        update={
            "cases": (
                mine.cases[0].model_copy(update={"reported": {"best_accuracy": "007", "whole_program_s": "1e5"}}),
                mine.cases[1],
            )
        }
    )
    text = text_of([changed], record_all(changed, PAPER))

    assert "| 007 " in text
    assert "| 1e5 " in text


def test_derived_numbers_follow_their_definitions():
    """Best over epochs as published, median of the clean ones, and the two scopes of time."""
    record = make_record(epochs=(make_epoch(1, 14, published=18), make_epoch(2, 14, published=10)))

    assert (0.9, 0.7, 2.0, 3.25) == (
        best_accuracy(record),
        clean_accuracy(record),
        train_s(record),
        whole_program_s(record),
    )


def test_a_shared_run_is_named_in_each_table():
    """Table 2's batch 32 is Table 3's Adam."""
    benchmarks = load_benchmarks(("batchsize", "optimizer"))
    records = {record.run_id: record for one in benchmarks for record in record_all(one, PAPER)}.values()
    text = text_of(benchmarks, records)

    assert '- "32" is the same run as "Adam" of Table 3: optimizer.' in text
    assert '- "Adam" is the same run as "32" of Table 2: batch size.' in text


def test_a_report_names_data_scale_machine_scope_and_command(mine):
    """Whatever a number depends on."""
    text = text_of([mine], record_all(mine, PAPER))

    for part in (
        "## Paper scale, cifar10-jpeg",
        "a processor, 2 threads",
        "torch 2.14.1",
        "seconds of the whole program: training, statistics and the as-published evaluation",
        "`--scale paper --data imagefolder:cifar10-jpeg`",
        "<!-- Made by `resnet18 report`",
    ):
        assert part in text


def test_assumptions_stand_under_their_table_with_value_and_source():
    """As many as the file has."""
    (basic,) = load_benchmarks(("basic",))
    text = text_of([basic], record_all(basic, PAPER))

    assert "- `image_size` = 32: public script: a variant with ToTensor alone, which leaves 32 px" in text
    assert "- loader: public script: images shuffled" in text
    assert len(basic.assumptions) == len(
        re.findall(r"^- (?:`[a-z_.]+` = |initialisation: |loader: )", text, re.MULTILINE)
    )


def test_a_table_with_few_of_its_cases_is_only_named():
    """One shared run does not make a table of five."""
    benchmarks = load_benchmarks(("augmentation", "optimizer"))
    text = text_of(benchmarks, record_all(benchmarks[1], Request()))

    assert "### Table 1" not in text
    assert (
        "- Table 1: augmentation: 1 of 5 cases recorded; `resnet18 run augmentation --scale smoke` runs the others."
        in text
    )


def test_nothing_in_the_folder_vanishes_silently(mine):
    """Records of no case, and files that are no records."""
    text = text_of([mine], [*record_all(mine, PAPER), make_record()], [IntegrityError("x.json", "is no record")])

    assert "no case of these benchmarks is meant: 1 of the recorded runs" in text
    assert "Left out: x.json: is no record" in text


def test_the_order_of_records_changes_no_byte(mine):
    """Markdown and figures."""
    records = record_all(mine, PAPER, (0, 1))
    reports = [render_report([mine], Readings(order, ())) for order in itertools.permutations(records)]

    assert all(report == reports[0] for report in reports)


def test_figures_stand_beside_the_report_and_only_its_own_old_ones_go(mine, tmp_path):
    """Every figure that the text names is there: curves, against the batch size, confusion; a stranger's stays."""
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "somebodys.svg").touch()
    write_report(tmp_path, [mine], Readings(tuple(record_all(mine, Request())), ()))
    path = write_report(tmp_path, [mine], Readings(tuple(record_all(mine, PAPER)), ()))
    named = re.findall(r"\(figures/([^)]+)\)", path.read_text(encoding="utf-8"))

    assert sorted([*named, "somebodys.svg"]) == sorted(one.name for one in (tmp_path / "figures").iterdir())
    assert 3 == len(named)


def test_a_readme_that_nobody_here_made_is_not_replaced(mine, tmp_path):
    """Somebody may point --results at a project."""
    (tmp_path / "README.md").write_text("# my project", encoding="utf-8")

    with pytest.raises(SpecError, match="was not made by this command"):
        write_report(tmp_path, [mine], Readings(tuple(record_all(mine, PAPER)), ()))
    assert "# my project" == (tmp_path / "README.md").read_text(encoding="utf-8")


def test_curves_are_svg_with_a_line_for_every_case(mine):
    """Two panels, training and test."""
    (view,) = select([mine], PAPER, record_all(mine, PAPER, (0, 1)))
    svg = learning_curves("Title", "Batch", view.cases).decode()

    for text in ("Title", "8 (n = 2)", "16 (n = 2)", "training", "test, as published", "accuracy (%)", "epoch"):
        assert f">{text}<" in svg


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("<script>", r"\<script\>"),
        ("*a* _b_ `c`", r"\*a\* \_b\_ \`c\`"),
        ("[x](http://y)", r"\[x\](http&#58;//y)"),
        ("$a$ and @somebody", r"\$a\$ and &#64;somebody"),
        ("two\nlines", "two lines"),
        ("bell\x07 right-to-left\u202e", "bell  right-to-left "),
        ("&amp;", r"\&amp;"),
        ("plain, 75.49% (x)", "plain, 75.49% (x)"),
    ],
)
def test_text_from_outside_cannot_become_markdown(text, escaped):
    """Pipes, tags, emphasis, links, newlines, control and direction characters."""
    assert escaped == escape(text)


def test_options_that_changed_the_runs_are_in_the_heading(mine):
    """Escaped; they have tables of their own."""
    text = text_of([mine], record_all(mine, Request(overrides=("epochs=1",))))

    assert "## Smoke scale, fashion-mnist-mini, epochs=1" in text


def test_an_option_that_changed_nothing_opens_no_second_table(mine):
    """The runs are those without it, and stand where those would."""
    text = text_of([mine], record_all(mine, Request(overrides=("stem=imagenet",))))

    assert "## Smoke scale, fashion-mnist-mini\n" in text
    assert 1 == text.count("### A table")


def test_two_data_sets_of_one_name_are_not_averaged(mine):
    """Their pixels differ, whatever they are called."""
    records = record_all(mine, PAPER) + record_all(mine, PAPER, (1,), data="e" * 64)

    assert (
        "several data sets of one name: not averaged"
        == cells(mine, PAPER, records).loc["Time, measured on cifar10-jpeg (s)", "8"]
    )


def test_records_of_two_code_versions_are_counted_as_such(mine):
    """They stand together only where stale ones were accepted."""
    records = record_all(mine, PAPER) + record_all(mine, PAPER, (1,), code="e" * 64)

    assert "2 (of 2 code versions)" == cells(mine, PAPER, records).loc["n (seeds)", "8"]


def test_a_run_of_one_table_alone_has_no_note_of_sharing(mine):
    """Only runs that another case shows are named."""
    assert "is the same run as" not in text_of([mine], record_all(mine, PAPER))


def test_a_damaged_file_is_named_without_becoming_markdown(mine):
    """Its name comes from outside."""
    refused = [IntegrityError("<b>|x.json", "is no record")]

    assert r"Left out: \<b\>\|x.json: is no record" in text_of([mine], record_all(mine, PAPER), refused)


CLAIM = """
[[claim]]
id = "C9"
says = "16 <b>beats</b> 8"
check = [{ kind = "greater", metric = "clean_accuracy", case = "16", than = "8" }]
"""


def test_verdicts_come_first_and_again_under_their_table(tmp_path):
    """A reader who stops after a minute has seen them; every claim has one."""
    mine = make_benchmark(tmp_path, TOML + CLAIM)
    text = text_of([mine], record_all(mine, PAPER, (0, 1, 2)))

    assert "Of 1 statement of mine: **0 supported, 0 contradicted, 1 inconclusive, 0 not run**" in text
    assert text.index("### In short") < text.index("### Verdicts") < text.index("### A table")
    assert "- **C9 inconclusive**" in text[text.index("### A table") :]


def test_a_statement_cannot_become_markdown(tmp_path):
    """Nor HTML: it comes from a file."""
    mine = make_benchmark(tmp_path, TOML + CLAIM)

    assert "<b>" not in text_of([mine], record_all(mine, PAPER, (0, 1, 2)))


def test_every_claim_of_the_suite_has_a_verdict():
    """Also those of tables that nobody has run."""
    benchmarks = load_benchmarks()
    text = text_of(benchmarks, record_all(benchmarks[0], PAPER, (0, 1, 2)))
    table = text[text.index("| claim") : text.index("The chance that any verdict")]

    for claim in (claim for benchmark in benchmarks for claim in benchmark.claims):
        assert re.search(rf"^\| {claim.id} .*\| (supported|contradicted|inconclusive|not run) +\|", table, re.MULTILINE)


def test_a_derived_number_is_computed_from_records():
    """Never copied: 3 s by 1.5 s stands beside the printed 44.1631."""
    (device,) = load_benchmarks(("device",))
    records = [
        make_record(
            run.experiment,
            run.execution,
            request=PAPER,
            epochs=(make_epoch(1, train_s=3.0 if run.execution.device == "cpu" else 1.5),),
        )
        for run in plan([device], PAPER, [0], {"cpu": 1, "cuda": 1}).runs
    ]

    line = "- speed-up Sp, CPU divided by GPU: reported 44.1631; measured 2 (n = 1 and 1: no interval), medians on "

    assert f"{line}a processor, 2 threads." in text_of([device], records)


def test_locale_and_time_zone_change_no_byte(mine, monkeypatch):
    """Records hold UTC, numbers are written by Python's own rules."""
    readings = Readings(tuple(record_all(mine, PAPER, (0, 1, 2))), ())
    here, own = render_report([mine], readings), locale.setlocale(locale.LC_ALL)
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    for name in ("de_DE.UTF-8", "C.UTF-8", "C"):
        with contextlib.suppress(locale.Error):
            locale.setlocale(locale.LC_ALL, name)
    there = render_report([mine], readings)
    locale.setlocale(locale.LC_ALL, own)
    monkeypatch.undo()
    time.tzset()

    assert here == there


def test_predictions_stand_at_the_end_of_a_chapter(mine, tmp_path):
    """Confusion of the first case; test images only where the run left a picture."""
    text, figures = render_report([mine], Readings(tuple(record_all(mine, PAPER)), ()))

    assert text.index("### A table") < text.index("### Predictions")
    assert [
        "confusion-paper-cifar10-jpeg.svg",
        "mine-by-batch_size-paper-cifar10-jpeg.svg",
        "mine-paper-cifar10-jpeg.svg",
    ] == sorted(figures)


def test_reports_are_judged_each_by_itself(tmp_path):
    """A file of one's own is no part of the lab report: its claims do not count with those, nor those with its."""
    one = make_benchmark(tmp_path, TOML + CLAIM)
    other = one.model_copy(update={"name": "other", "title": "Another table"})
    text = text_of([one, other], record_all(one, PAPER, (0, 1, 2)))

    assert "### In short: mine" in text
    assert "### In short: other" in text
    assert 2 == text.count("over all 1 claims")


def test_a_report_of_which_nothing_is_recorded_is_not_judged(mine, tmp_path):
    """Eighteen statements "not run" beside one's own table would say nothing."""
    text = text_of([mine, *load_benchmarks()], record_all(mine, PAPER))

    assert "statements of the lab report" not in text


def test_runs_of_a_file_that_is_not_named_say_how_to_show_them(mine):
    """They are not lost."""
    assert "name it: `resnet18 report FILE`" in text_of(load_benchmarks(("basic",)), record_all(mine, PAPER))
