"""The local engine: runs side by side, compared times alone, and a GPU of its own for each run."""

from contextlib import ExitStack
from unittest import mock

import pytest
from builders import TINY, TOML, make_toml
from fakes.jobs import ON_GPU, TIMED, Quiet, jobs_of

from resnet18.cli.preview import filled
from resnet18.execution import processes, runner
from resnet18.execution.processes import SPINS, spin_briefly
from resnet18.execution.runner import ALL, LocalEngine, lease_gpu, shares
from resnet18.measure.host import usable_cpus
from resnet18.records.store import Store
from resnet18.spec.errors import SpecError

FEW = len(usable_cpus()) < 2
TWO = ("GPU-a", "GPU-b")


@pytest.mark.parametrize(("jobs", "groups"), [(1, [ALL]), (2, [(2, 3), (5, 7)]), (3, [(2,), (3,), (5,)])])
def test_processors_are_shared_out_evenly(jobs, groups):
    assert groups == shares(jobs, {7, 5, 3, 2})


def test_more_runs_than_processors_are_refused():
    with pytest.raises(SpecError, match=r"--jobs 3: .*\(allowed: 1 to 2\)"):
        shares(3, {0, 1})


@pytest.mark.skipif(FEW, reason="needs two processors")
def test_runs_side_by_side_say_so_and_have_a_thread_for_each_processor_of_their_own(cli, tmp_path):
    tiny = [word for option in TINY if option != "threads=1" for word in ("-o", option)]
    with mock.patch("resnet18.cli.run.filled", wraps=filled) as announced:
        done = cli("run", make_toml(tmp_path), "--jobs", "2", *tiny)
    records = Store(tmp_path / "results" / "local").read().records

    assert (0, 2) == (done.exit_code, announced.call_args.kwargs["jobs"])
    assert [(1, "not_exclusive")] * 2 == [(record.attempt, record.flags[0]) for record in records]
    assert [len(usable_cpus()) // 2] * 2 == [record.fingerprint.numerics["threads"] for record in records]


class Ending:
    """An attempt that ends when it is looked at; notes what was started and ended."""

    log = []

    def __init__(self, job, tell, held):
        self.job, self.held, self.status = job, held, "ok"
        self.log.append(("start", job.run.experiment.batch_size, job.processors, job.gpus, job.is_exclusive))

    def close(self):
        self.held.close()


@pytest.fixture
def carry_out(tmp_path, monkeypatch):
    """Carry runs out without children; the last that was started ends first. Returns what was started."""

    def wait_for(going, at_most_s=None):
        if not going:
            assert runner.LOOK_S == at_most_s
            Ending.meanwhile()
            return []
        ended = going.pop()
        ended.close()
        return [ended]

    def run(text, engine, meanwhile=lambda: 1 / 0):
        Ending.log, Ending.meanwhile = [], meanwhile
        run.progress = Quiet()
        engine.carry_out(jobs_of(tmp_path, text), run.progress)
        return [one[1:] for one in Ending.log]

    monkeypatch.setattr(runner, "ChildProcess", Ending)
    monkeypatch.setattr(runner, "wait_for", wait_for)
    return run


def test_timed_runs_come_last_with_all_processors(carry_out):
    engine = LocalEngine(((0,), (1,)))
    text = TIMED + '\n[[case]]\nname = "32"\nexperiment = { batch_size = 32 }\n'

    assert [(size, ALL, None, True) for size in (8, 16, 32)] == carry_out(text, engine)
    assert [(8, (0,), None, False), (16, (1,), None, False)] == carry_out(TOML, engine)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        (ON_GPU, TWO),
        (ON_GPU.replace('"cuda"', '"cpu"'), (None, None)),
        (ON_GPU.replace('"cuda"', '"cuda:1"'), (None, None)),
    ],
    ids=["cuda", "cpu", "named"],
)
def test_each_run_leases_a_gpu_of_its_own(text, gpus, carry_out):
    assert list(gpus) == [one[2] for one in carry_out(text, LocalEngine(((0,), (1,)), TWO))]


@pytest.mark.usefixtures("home")
def test_a_run_waits_until_a_gpu_is_free(carry_out):
    with ExitStack() as first, ExitStack() as second:
        assert ("GPU-a", "GPU-b", None) == (lease_gpu(TWO, first), lease_gpu(TWO, second), lease_gpu(TWO, first))
        given = carry_out(ON_GPU, LocalEngine(gpus=TWO), meanwhile=second.close)

    assert ["GPU-b", "GPU-b"] == [one[2] for one in given]
    assert 1 == sum("waits until one of 2 GPUs is free" in line for line in carry_out.progress.lines)


@pytest.mark.parametrize("name", [None, "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"])
def test_waiting_threads_sleep_soon_unless_the_user_says_how_they_wait(name, monkeypatch):
    monkeypatch.setattr(processes.os, "environ", {name: "x"} if name else {})
    spin_briefly()

    assert ({name: "x"} if name else {"GOMP_SPINCOUNT": str(SPINS)}) == processes.os.environ
