"""The regression check: what it finds at n = 1, what it finds by statistics, and that it passes on nothing."""

import shutil
from dataclasses import replace
from math import log

import pytest
from builders import (
    TOML,
    changed,
    fitting,
    make_benchmark,
    make_epoch,
    make_experiment,
    make_record,
    make_store,
    make_toml,
)
from reports import record_all
from scipy.stats import ttest_1samp, ttest_ind

from resnet18.cli.check import saved_bytes
from resnet18.gate import baseline as kept
from resnet18.gate.check import NO_CHANGE, Sides, check, exit_code_of, growth, prediction
from resnet18.records.record import Score
from resnet18.report.markdown import check_text
from resnet18.spec.benchmark import Gate
from resnet18.spec.errors import UnfinishedError
from resnet18.spec.load import load_benchmark
from resnet18.spec.plan import plan
from resnet18.spec.resolve import Request

GATE = Gate(seeds=3)
CASE = "mine/8"
OTHER = {"cpu_model": "other"}


def make_side(seeds, correct=lambda seed: 700, train_s=1.0, rss=500_000_000, numerics=None, **experiment):
    """Records of one case on 1,000 test images, one for each seed."""
    found = []
    for seed in seeds:
        hits = Score(loss=1.0, correct=correct(seed), images=1_000)
        epoch = make_epoch(1, clean=hits, train_s=train_s * (1 + 0.001 * (seed % 3)))
        record = make_record(make_experiment(seed=seed, **experiment), epochs=(epoch,), numerics=numerics)
        found.append(changed(record, parameters=100, memory={"rss_peak_bytes": rss + 4096 * (seed % 2)}))
    return tuple(found)


def noisy(seed):
    """Correct images of a seed: a standard deviation of about one point."""
    return 700 + (seed * 7919) % 31 - 15


SIDE = make_side(range(6), noisy)


def judge(head, baseline=SIDE, base=None, **saved):
    sides = Sides({CASE: head}, {CASE: baseline}, None if base is None else {CASE: base}, **saved)
    return check(sides, GATE)


def found(judged, metric):
    """The verdict on a metric, and what is said of it."""
    (finding,) = [finding for finding in judged if finding.metric == metric]
    return finding.verdict, finding.says


CRASHED, STOPPED = ([make_record(make_experiment(seed=0), status=status)] for status in ("crashed", "interrupted"))
OTHER_BIT = make_side([0], lambda _: 699)
OTHER_CPU = make_side(range(3), noisy, numerics=OTHER)
UNKNOWN = make_side(range(6), noisy, numerics={"cpu_model": "unknown"})
OTHER_THREADS = make_side(range(6), noisy, numerics={"threads": 7})
LARGER = make_side(range(6), noisy, rss=525_000_000)
NO_PEAKS = [
    record.model_copy(update={"memory": record.memory.model_copy(update={"rss_peak_bytes": None})}) for record in SIDE
]
GROWN = [
    record.model_copy(update={"parameters": 101, "epochs": (replace(record.epochs[0], steps=4),)})
    for record in make_side([0], numerics=OTHER)
]
OTHER_SPEC = make_side([5], optimizer={"name": "sgd", "lr": 0.1})
SAVED = {CASE: (1_000, 2_000)}
TEN = make_side(range(10), noisy)
LESS, MORE, SAME = (
    make_side(range(10, 13), lambda seed, by=by: noisy(seed) + by, numerics=OTHER) for by in (-80, 80, 0)
)
SLOWER, FASTER = (make_side(range(6), noisy, train_s=factor) for factor in (1.10, 0.8))
MEANT = make_side(range(6), lambda seed: noisy(seed) + 1)
OTHER_RATE = make_side(range(6), noisy, optimizer={"name": "sgd", "lr": 0.1})
LEFT_OUT = Sides({CASE: SIDE}, {CASE: SIDE, "mine/16": SIDE}, left_out={"mine/16": "emulates bf16"})
HALF, SIX = Sides({CASE: SIDE}, {CASE: SIDE}, {CASE: SIDE[3:]}), Gate(seeds=6)
LOST_CASE = Sides({CASE: SIDE[:3]}, {CASE: SIDE, "mine/16": SIDE})
CHECKS = {
    "equal bits": (lambda: judge(SIDE[:3]), "bits", "ok", "equal to the last bit for 3 of 3 seeds", 0),
    "another bit": (lambda: judge(OTHER_BIT), "bits", "regression", "epoch.1.clean.correct: 685 and 699", 1),
    "another processor": (lambda: judge(OTHER_CPU), "bits", "not compared", "under other numerics: cpu_model", 0),
    "more saved bytes": (lambda: judge(SIDE, saved_bytes=SAVED), "saved_bytes", "regression", "1000 and now 2000", 1),
    "more parameters": (lambda: judge(GROWN), "parameters", "regression", "100 and now 101", 1),
    "more steps": (lambda: judge(GROWN), "steps", "regression", "3 in 1 epochs and now 4", 1),
    "another spec": (lambda: judge(OTHER_SPEC), "spec", "regression", "experiment.optimizer.lr: 0.01 and 0.1", 1),
    "worse": (lambda: judge(LESS, TEN), "clean_accuracy", "regression", "points", 1),
    "better": (lambda: judge(MORE, TEN), "clean_accuracy", "regression", "points", 1),
    "as good": (lambda: judge(SAME, TEN), "clean_accuracy", "ok", "points", 0),
    "slower": (lambda: judge(SLOWER, base=SIDE), "train_s", "regression", "time, head by base 1.10", 1),
    "as fast": (lambda: judge(SIDE, base=SIDE), "train_s", "ok", "time, head by base 1.0000", 0),
    "faster": (lambda: judge(FASTER, base=SIDE), "train_s", "ok", "time, head by base 0.80", 0),
    "unknown processors": (lambda: judge(UNKNOWN, UNKNOWN), "bits", "not compared", "cpu_model, which is unknown", 0),
    "three seeds of six": (
        lambda: check(HALF, SIX),
        "bits",
        "missing",
        "a check takes 6, both sides have seeds 3, 4, 5",
        3,
    ),
    "three pairs of six": (
        lambda: check(HALF, SIX),
        "train_s",
        "missing",
        "3 pairs of a base and a head, 6 are needed",
        3,
    ),
    "a seed without a base": (lambda: judge(SIDE[:1]), "bits", "missing", "both sides have seeds 0", 3),
    "saved bytes of a stranger": (lambda: judge(SIDE), "saved_bytes", "not compared", "the code of the other side", 0),
    "their costs": (lambda: judge(UNKNOWN, base=UNKNOWN), "train_s", "not compared", "cpu_model, which is unknown", 0),
    "a small baseline": (lambda: judge(SAME, SIDE[:5]), "clean_accuracy", "missing", "n = 5, its spread takes 6", 3),
    "few seeds": (lambda: judge(SAME[:2], TEN), "clean_accuracy", "missing", "2 seeds were run, a check takes 3", 3),
    "equal accuracies": (lambda: judge(SIDE[:3]), "clean_accuracy", "ok", "settled by the bits", 0),
    "another bit than the base": (lambda: judge(OTHER_BIT, (), SIDE), "bits", "regression", "685 and 699; if that", 1),
    "its accuracy": (lambda: judge(OTHER_BIT, (), SIDE), "clean_accuracy", "missing", "1 seeds were run", 1),
    "a change that was meant": (lambda: judge(MEANT, MEANT, SIDE), "bits", "ok", "equal to those of the baseline", 0),
    "equal to the base": (lambda: judge(SIDE, (), SIDE), "bits", "ok", "equal to the last bit for 6 of 6 seeds", 0),
    "an old baseline": (
        lambda: judge(MEANT, OTHER_RATE, SIDE),
        "clean_accuracy",
        "missing",
        "n = 0, its spread takes 6",
        1,
    ),
    "a base of another experiment": (lambda: judge(SIDE, SIDE, ()), "status", "missing", "nor a baseline has", 3),
    "more memory": (lambda: judge(LARGER, base=SIDE), "rss_peak_bytes", "regression", "memory, head by base 1.05", 1),
    "no base": (lambda: judge(SIDE[:3]), "train_s", "not compared", "needs a base that runs beside it", 0),
    "another base": (lambda: judge(SIDE, base=OTHER_THREADS), "train_s", "not compared", "other numerics: threads", 0),
    "a null peak": (lambda: judge(NO_PEAKS, base=SIDE), "rss_peak_bytes", "missing", "0 pairs of a base and a head", 3),
    "crashed": (lambda: judge(CRASHED), "status", "regression", "seed 0 ended crashed", 1),
    "stopped": (lambda: judge(STOPPED), "status", "missing", "seed 0 ended interrupted", 3),
    "a crashed base": (lambda: judge(SIDE, base=CRASHED), "train_s", "missing", "the base ended crashed", 3),
    "no head": (lambda: judge(()), "status", "missing", "nothing was measured", 3),
    "no baseline": (lambda: judge(SIDE[:3], ()), "status", "missing", "neither a base nor a baseline", 3),
    "both": (lambda: judge(OTHER_BIT, SIDE[:2]), "clean_accuracy", "missing", "a check takes 3", 1),
    "left out": (lambda: check(LEFT_OUT, GATE), "all", "not compared", "emulates bf16", 0),
    "a lost case": (lambda: check(LOST_CASE, GATE), "status", "missing", "among the cases no longer", 3),
}


@pytest.mark.parametrize("what", CHECKS)
def test_a_check_finds_what_changed_and_passes_on_nothing(what):
    """With verdict, reason and exit code: 1 for a regression, 3 where not everything was measured."""
    make, metric, verdict, says, exit_code = CHECKS[what]
    judged = make()

    assert (verdict, True) == (found(judged, metric)[0], says in found(judged, metric)[1])
    assert exit_code == exit_code_of(judged)


def test_levels_are_holms_over_all_metrics_of_all_cases():
    """One p of 0.004 alarms alone at 1 %, and not among three."""
    side = make_side(range(16), noisy)
    head = make_side(range(20, 23), lambda seed: noisy(seed) + 21, numerics=OTHER)
    cases = {f"mine/{number}": head if number == 0 else SAME for number in range(3)}
    alone, among = judge(head, side), check(Sides(cases, dict.fromkeys(cases, side)), GATE)
    first = next(finding for finding in among if finding.metric == "clean_accuracy")

    assert "regression" == found(alone, "clean_accuracy")[0]
    assert ("ok", True) == (first.verdict, "alarm at 0.0033" in first.says)


def test_the_statistics_are_students():
    """Of two samples and of ratios against what is overlooked as in scipy."""
    old, new, ratios = [1.0, 2.0, 3.5, 2.5], [4.0, 6.0, 5.5], [1.01, 1.02, 1.04]
    slower = ttest_1samp([log(ratio) for ratio in ratios], log(1.02), alternative="greater").pvalue

    assert NO_CHANGE.p_outside(prediction(old, new)) == pytest.approx(ttest_ind(new, old).pvalue, rel=1e-9)
    assert growth(ratios).p_above(log(1.02)) == pytest.approx(slower, rel=1e-9)


def test_the_page_says_first_what_was_found_and_what_was_compared_and_what_was_not():
    page = check_text(judge(OTHER_CPU), "the head", "the baseline", 0.01).splitlines()
    failed = check_text(judge(OTHER_BIT), "the head", "the baseline", 0.01).splitlines()

    assert page[0] == (
        "No regression found. Compared: spec, parameters, steps, accuracy (of mine/8). "
        "Not compared: saved bytes, results to the last bit, training time, peak memory (of mine/8)."
    )
    assert page[2].endswith("False alarms: at most 1 % of checks.")
    assert failed[0].startswith("**Regression.** Compared: spec, parameters, steps, results to the last bit")
    assert "| regression " in failed[6]


# The records of each side


def test_records_are_found_by_case(tmp_path):
    """A case without any is there; of two ways of asking it is not known which was meant."""
    benchmark = make_benchmark(tmp_path)
    short = Request(overrides=("epochs=1",))
    first, cut = (plan([benchmark], request, [0], {"cpu": 1}).runs[0] for request in (Request(), short))
    record = make_record(first.experiment, first.execution)
    asked = make_record(cut.experiment, cut.execution, request=short)
    stranger = make_record(make_experiment(seed=7))

    assert {"mine/8": (record,), "mine/16": ()} == kept.head_cases(benchmark, [record, stranger], "here")
    with pytest.raises(UnfinishedError, match="several scales, data sets or options"):
        kept.head_cases(benchmark, [record, asked], "here")


# Baselines, and the commands `check` and `compare`


def records_of(toml, seeds=range(4), *, hits=lambda seed: 10 + seed % 3, sizes=(8, 16), **options):
    """Records of both cases, of a clean commit; the seed chooses the accuracy."""

    def epochs(run):
        return tuple(make_epoch(at, hits(run.experiment.seed)) for at in (1, 2))

    options = {"commit": "a" * 40, "dirty": False, **options}
    records = record_all([load_benchmark(toml)], Request(), seeds, epochs, **options)
    return [
        changed(fitting(record), parameters=100, memory={"rss_peak_bytes": 500_000_000})
        for record in records
        if record.spec.experiment.batch_size in sizes
    ]


@pytest.fixture
def toml(tmp_path):
    return make_toml(tmp_path, TOML.replace("[table]", "[gate]\nseeds = 2\n\n[table]"))


@pytest.fixture
def gate(tmp_path, toml, cli, monkeypatch):
    """Return `check` on a folder with these records; what autograd saves is computed elsewhere."""
    monkeypatch.setattr("resnet18.cli.check.saved_bytes", lambda cases: dict.fromkeys(cases, 1_000))

    def call(records, *words):
        shutil.rmtree(tmp_path / "head", ignore_errors=True)
        results = make_store(tmp_path / "head", *records).results
        return cli("check", toml, "--results", results, "--baseline", tmp_path / "baseline", *words)

    return call


@pytest.fixture
def root(tmp_path, toml, gate):
    """A folder of baselines with one in it."""
    made = gate(records_of(toml), "--keep")
    assert 0 == made.exit_code, made.output
    return tmp_path / "baseline"


@pytest.mark.parametrize(
    ("options", "exit_code", "says"),
    [
        ({}, 0, "No regression found."),
        ({}, 0, "the baseline of commit aaaaaaaaaaaa"),
        ({"hits": lambda seed: 11 + seed % 3}, 1, r"seed 0: epoch.1.as\_published.correct: 500 and 550"),
        ({"data": "e" * 64}, 3, "no baseline of this class (data eeeeeeee…, torch 2.14, precision None)"),
        ({"cpu": "another"}, 0, "they ran under other numerics: cpu\\_model"),
        ({"sizes": ()}, 3, "no record of mine: nothing was measured"),
        ({"sizes": (8,)}, 3, "| mine/16 | status | missing | no run of the head has a result"),
    ],
)
def test_records_are_checked_against_the_baseline(options, exit_code, says, root, toml, gate):
    """Of their own numerics, or else of their class: data, torch's minor version, precision."""
    done = gate(records_of(toml, range(2), **options))

    assert (exit_code, True) == (done.exit_code, says in " ".join(done.output.split())), done.output


@pytest.mark.parametrize(
    ("damage", "exit_code", "says"),
    [
        (
            None,
            0,
            "No regression found. Compared: spec, parameters, steps, results to the last bit, accuracy, training",
        ),
        ("{}", 3, "this code does not read what the base wrote"),
    ],
)
def test_a_base_needs_no_baseline_and_must_be_readable(damage, exit_code, says, tmp_path, toml, gate):
    """A base of older code may write records that this code refuses: that is no damage."""
    base = make_store(tmp_path / "base", *records_of(toml)).results
    for path in (base / "records").glob("*.json") if damage else ():
        path.write_text(damage, encoding="utf-8")
    done = gate(records_of(toml), "--base", base)

    assert (exit_code, True) == (done.exit_code, says in " ".join(done.output.split())), done.output


def test_a_head_whose_records_contradict_their_spec_has_a_regression(tmp_path, toml, gate):
    """Its own code wrote them just now: that is no damage."""
    head, other = records_of(toml), make_store(tmp_path / "base", *records_of(toml)).results
    lost = head[0].model_copy(update={"epochs": (replace(head[0].epochs[0], learning_rate=9.0), *head[0].epochs[1:])})
    done = gate([lost, *head[1:]], "--base", other)

    assert (1, True) == (done.exit_code, done.output.startswith("**Regression.** Compared: records")), done.output


def test_a_case_that_was_left_out_is_said_and_the_rest_passes(tmp_path, toml, gate, monkeypatch):
    monkeypatch.setattr("resnet18.cli.check.left_out", lambda benchmark: ["16"])
    base = make_store(tmp_path / "base", *records_of(toml, sizes=(8,))).results
    done = gate(records_of(toml, sizes=(8,)), "--base", base)

    assert (0, True) == (done.exit_code, "Not compared: all (of mine/16);" in done.output), done.output


@pytest.mark.parametrize(
    ("told", "code", "says"),
    [
        (
            '[{"case": "mine/8", "saved_bytes": 1000}, {"case": "mine/16", "saved_bytes": 1000}]',
            0,
            "compared: nothing.",
        ),
        ('[{"case": "mine/8", "saved_bytes": 900}]', 1, "| mine/8 | saved\\_bytes | regression | 900 and now 1000"),
        ('[{"case": "mine/8"}]', 0, "Not compared: saved bytes (of mine/8 and mine/16)"),
        ("{", 0, "Not compared: saved bytes (of mine/8 and mine/16)"),
    ],
)
def test_saved_bytes_are_held_against_what_the_code_of_the_base_tells(told, code, says, root, toml, gate):
    """Those of a baseline are of older code: after a change that was meant they would alarm for ever."""
    for path in root.glob("*/index.json"):
        path.write_text(path.read_text("utf-8").replace("1000", "2000"), "utf-8")
    base = make_store(root.parent / "base", *records_of(toml)).results
    (base / "forecast.json").write_text(told, "utf-8")
    done = gate(records_of(toml), "--base", base)

    assert (code, True) == (done.exit_code, says in " ".join(done.output.split())), done.output


def test_a_baseline_that_cannot_be_read_is_left_out_and_costs_nothing_else(root, toml, gate):
    (root / "other").mkdir()
    (root / "other/index.json").write_text('{"schema_version": 2, "commit": "", "cases": {}}', "utf-8")
    fits, other = gate(records_of(toml, range(2))), gate(records_of(toml, range(2), data="e" * 64))

    assert (0, True) == (fits.exit_code, f"left out: {root}/other/index.json" in fits.stderr), fits.output
    assert (3, True) == (other.exit_code, f"precision None); left out: {root}/other" in other.stderr), other.output


def test_a_baseline_stands_for_its_numerics_until_a_new_one_takes_its_place(root, toml, gate):
    gate(records_of(toml, range(6), cpu="another"), "--keep")
    done = gate(records_of(toml, range(2)))
    gate(records_of(toml, range(5), commit="b" * 40), "--keep")

    assert "equal to the last bit for 2 of 2 seeds" in done.output
    found = [kept.read_baseline(folder) for folder in root.iterdir()]
    assert {("a" * 40, 12), ("b" * 40, 10)} == {(baseline.index.commit, len(baseline.records)) for baseline in found}


@pytest.mark.parametrize(
    ("options", "words", "exit_code", "says"),
    [
        ({"commit": None, "dirty": None}, ["--keep"], 2, "the records are not of one clean commit"),
        ({"dirty": True}, ["--keep"], 2, "the records are not of one clean commit"),
        ({"sizes": (8,)}, ["--keep"], 3, "a baseline needs results of every case"),
        ({}, [], 3, "no baseline\n  next: make one with: make baseline"),
    ],
)
def test_a_baseline_is_of_every_case_and_of_a_commit_and_without_it_nothing_passes(
    options, words, exit_code, says, toml, gate
):
    """It could not be made again, or would miss a case for ever."""
    done = gate(records_of(toml, **options), *words)

    assert (exit_code, True) == (done.exit_code, says in done.output)


@pytest.mark.parametrize(
    ("name", "text", "code", "says"),
    [
        ("index.json", "{", 4, "is no index of a baseline"),
        ("index.json", '{"schema_version": 2, "commit": "", "cases": {}}', 4, "less than or equal to 1"),
        ("index.json", '{"schema_version": 1, "commit": "", "cases": {"mine/8": {}}}', 4, "is no index of a baseline"),
        ("records/*.json", "{}", 4, "damaged: "),
        ("records/*.json", None, 3, "the baseline has no records"),
    ],
)
def test_a_damaged_baseline_has_a_message_of_its_own(name, text, code, says, root, gate):
    for path in root.glob(f"*/{name}"):
        path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    done = gate(records_of(root.parent / "mine.toml", range(2)))

    assert (code, True) == (done.exit_code, says in done.output), done.output
    assert done.output.rpartition("error: ")[2].count("next: ") == 1


def test_what_autograd_saves_is_computed_of_every_case_that_has_records():
    (found,) = saved_bytes({CASE: [make_record()], "mine/32": []}).items()

    assert (CASE, True) == (found[0], found[1] > 0)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ({}, 0, "time, head by base 1.0000"),
        ({}, 0, "ran at different times"),
        ({"cpu": "another"}, 2, "mine/8: cpu_model is a processor and another"),
        ({"numerics": {"driver": "580.1"}}, 2, "mine/8: driver is unknown and 580.1"),
        ({"numerics": {"threads": 1}}, 2, "mine/8: threads is 2 and 1"),
        ({"data": "e" * 64}, 2, "mine/8: data_sha256 is dddd"),
        ({"dirty": True}, 2, "the second has records of a checkout with uncommitted changes"),
        ({"sizes": ()}, 2, "no case has records in both"),
    ],
)
def test_two_folders_are_compared_or_refused_with_the_reason(options, code, says, tmp_path, toml, cli):
    """Bits, accuracy, time and memory of one machine; the page says that they ran at different times."""
    make_store(tmp_path / "a", *records_of(toml))
    make_store(tmp_path / "b", *records_of(toml, **options))
    done = cli("compare", tmp_path / "a", tmp_path / "b", toml)

    assert (code, True) == (done.exit_code, says in done.output), done.output
    assert (code == 2) == ("cannot be compared" in done.output)
