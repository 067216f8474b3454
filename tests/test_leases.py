"""Each run gets a GPU of its own: what a machine has is shared out by locks, which any process can hold."""

import subprocess
import sys

import pynvml
import pytest
from fakes.sessions import ON_GPU, make_runs, make_session

from resnet18.execution import leases
from resnet18.execution.engines import local
from resnet18.execution.engines.local import LocalEngine
from resnet18.execution.leases import gpus_leased
from resnet18.execution.supervision import Policy
from resnet18.measure.devices import nvidia_gpus

pytestmark = pytest.mark.usefixtures("home")
TWO, FOUR = ("GPU-a", "GPU-b"), ("0", "1", "2", "3")
HOLDER = """
import sys
from resnet18.execution.leases import gpus_leased
with gpus_leased(("GPU-a", "GPU-b"), 1) as gpus:
    print(gpus, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def meanwhile(monkeypatch):
    """What happens while a runner waits; counts how often it looks."""
    looks = []

    def do(action):
        def sleep(seconds):
            assert len(looks) < 100, "it waits for ever"
            looks.append(seconds)
            action(len(looks))

        monkeypatch.setattr(leases.time, "sleep", sleep)
        return looks

    return do


@pytest.mark.parametrize(
    ("names", "count"), [((), 1), (("GPU-a",), 1), (TWO, 0), (TWO, 3)], ids=["none", "one", "unused", "too few"]
)
def test_where_there_is_nothing_to_choose_nothing_is_leased(names, count, home):
    """The run sees what it saw."""
    with gpus_leased(names, count) as gpus:
        assert gpus is None

    assert not home.exists()


def test_each_run_gets_another_gpu():
    """Two at once."""
    with gpus_leased(TWO, 1) as first, gpus_leased(TWO, 1) as second:
        assert ("GPU-a", "GPU-b") == (first, second)


def test_ranks_get_a_gpu_each():
    """As CUDA_VISIBLE_DEVICES lists them."""
    with gpus_leased(FOUR, 1), gpus_leased(FOUR, 3) as gpus:
        assert "1,2,3" == gpus


def test_a_gpu_that_was_given_back_is_leased_again():
    """By the next run."""
    with gpus_leased(TWO, 1):
        pass
    with gpus_leased(TWO, 1) as gpus:
        assert "GPU-a" == gpus


def test_a_gpu_is_given_back_whatever_happens():
    """An interrupt, say."""
    with pytest.raises(KeyboardInterrupt), gpus_leased(TWO, 2):
        raise KeyboardInterrupt
    with gpus_leased(TWO, 2) as gpus:
        assert "GPU-a,GPU-b" == gpus


def test_a_run_waits_until_a_gpu_is_free(meanwhile):
    """And gets that one."""
    first, second = gpus_leased(TWO, 1), gpus_leased(TWO, 1)
    first.__enter__(), second.__enter__()
    looks = meanwhile(lambda look: second.__exit__(None, None, None) if look == 3 else None)
    with gpus_leased(TWO, 1) as gpus:
        assert "GPU-b" == gpus
    first.__exit__(None, None, None)

    assert [leases.LOOK_S] * 3 == looks


def test_a_run_that_waits_for_several_holds_none(meanwhile):
    """Two runners that have half of theirs each would wait for each other."""
    taken = gpus_leased(FOUR, 2)
    taken.__enter__()
    others = []

    def look(number):
        with gpus_leased(FOUR, 2) as free:
            others.append(free)
        taken.__exit__(None, None, None)

    meanwhile(look)
    with gpus_leased(FOUR, 3) as gpus:
        assert "0,1,2" == gpus

    assert ["2,3"] == others


def test_a_name_with_a_slash_is_a_file_too():
    """Older slices of a GPU are named so."""
    with gpus_leased(("MIG-GPU-a/1/0", "MIG-GPU-a/2/0"), 2) as gpus:
        assert "MIG-GPU-a/1/0,MIG-GPU-a/2/0" == gpus


def test_two_processes_never_have_the_same_gpu(meanwhile):
    """The kernel keeps the locks, and lets go of a killed process's."""
    holders = [
        subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in TWO
    ]
    try:
        held = {holder.stdout.readline().strip(): holder for holder in holders}

        def kill(look):
            held["GPU-b"].kill()
            held["GPU-b"].wait()

        meanwhile(kill)
        with gpus_leased(TWO, 1) as gpus:
            assert {"GPU-a", "GPU-b"} == set(held)
            assert "GPU-b" == gpus
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        (ON_GPU, "GPU-a"),
        (ON_GPU.replace('device = "cuda"', 'device = "cuda", ranks = 2'), "GPU-a,GPU-b"),
        (ON_GPU.replace('device = "cuda"', 'device = "cpu"'), None),
        (ON_GPU.replace('device = "cuda"', 'device = "cuda:1"'), None),
    ],
    ids=["one", "ranks", "cpu", "named"],
)
def test_a_run_of_this_machine_sees_the_gpus_that_it_leased(text, gpus, tmp_path, monkeypatch):
    """One for each rank; a run that names its own leases none."""
    seen = []
    monkeypatch.setattr(local, "run_once", lambda run, session, gpus: seen.append(gpus) or "ok")
    with LocalEngine(make_session(tmp_path, policy=Policy(gpus=TWO))) as engine:
        engine.submit(make_runs(tmp_path, text)[0])
        engine.wait()

    assert [gpus] == seen


@pytest.mark.parametrize(
    ("listed", "names"),
    [
        ("", ()),
        ("0", ("0",)),
        ("1, 0", ("1", "0")),
        ("GPU-a,,MIG-b", ("GPU-a", "MIG-b")),
        (None, ("GPU-1-a", "GPU-2-b")),
    ],
)
def test_gpus_are_those_that_are_listed_else_all_by_uuid(listed, names, monkeypatch):
    """CUDA and NVML number them differently; a list that is empty is a wish for none."""
    uuids = ["GPU-1-a", b"GPU-2-b"]  # bytes: as older bindings give them
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: len(uuids))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lambda handle: uuids[handle])
    if listed is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)

    assert names == nvidia_gpus()


def test_a_machine_without_a_driver_has_no_gpus(monkeypatch):
    """And that is no error."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: (_ for _ in ()).throw(pynvml.NVMLError(12)))

    assert () == nvidia_gpus()
