"""Each run gets a GPU of its own: what a machine has is shared out by locks, which any process can hold."""

import subprocess
import sys

import pynvml
import pytest
from fakes.sessions import ON_GPU, make_runs, make_session

from resnet18.execution import leases
from resnet18.execution.engines import local
from resnet18.execution.engines.local import LocalEngine
from resnet18.execution.leases import gpu_leased
from resnet18.execution.policy import Policy
from resnet18.measure.devices import nvidia_gpus

pytestmark = pytest.mark.usefixtures("home")
TWO = ("GPU-a", "GPU-b")
HOLDER = """
import sys
from resnet18.execution.leases import gpu_leased
with gpu_leased(("GPU-a", "GPU-b")) as gpu:
    print(gpu, flush=True)
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


@pytest.mark.parametrize("names", [(), ("GPU-a",)], ids=["none", "one"])
def test_where_there_is_nothing_to_choose_nothing_is_leased(names, home):
    """The run sees what it saw."""
    with gpu_leased(names) as gpu:
        assert gpu is None

    assert not home.exists()


def test_each_run_gets_another_gpu():
    """Two at once."""
    with gpu_leased(TWO) as first, gpu_leased(TWO) as second:
        assert ("GPU-a", "GPU-b") == (first, second)


def test_a_gpu_that_was_given_back_is_leased_again():
    """By the next run."""
    with gpu_leased(TWO):
        pass
    with gpu_leased(TWO) as gpu:
        assert "GPU-a" == gpu


def test_a_gpu_is_given_back_whatever_happens():
    """An interrupt, say."""
    with pytest.raises(KeyboardInterrupt), gpu_leased(TWO):
        raise KeyboardInterrupt
    with gpu_leased(TWO) as gpu:
        assert "GPU-a" == gpu


def test_a_run_waits_until_a_gpu_is_free(meanwhile):
    """And gets that one."""
    first, second = gpu_leased(TWO), gpu_leased(TWO)
    first.__enter__(), second.__enter__()
    looks = meanwhile(lambda look: second.__exit__(None, None, None) if look == 3 else None)
    with gpu_leased(TWO) as gpu:
        assert "GPU-b" == gpu
    first.__exit__(None, None, None)

    assert [leases.LOOK_S] * 3 == looks


def test_a_name_with_a_slash_is_a_file_too():
    """Older slices of a GPU are named so."""
    names = ("MIG-GPU-a/1/0", "MIG-GPU-a/2/0")
    with gpu_leased(names) as first, gpu_leased(names) as second:
        assert names == (first, second)


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
        with gpu_leased(TWO) as gpu:
            assert {"GPU-a", "GPU-b"} == set(held)
            assert "GPU-b" == gpu
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()


@pytest.mark.parametrize(
    ("text", "gpu"),
    [
        (ON_GPU, "GPU-a"),
        (ON_GPU.replace('device = "cuda"', 'device = "cpu"'), None),
        (ON_GPU.replace('device = "cuda"', 'device = "cuda:1"'), None),
    ],
    ids=["one", "cpu", "named"],
)
def test_a_run_of_this_machine_sees_the_gpu_that_it_leased(text, gpu, tmp_path, monkeypatch):
    """A run that names its own leases none."""
    seen = []
    monkeypatch.setattr(local, "run_once", lambda run, session, gpu: seen.append(gpu) or "ok")
    with LocalEngine(make_session(tmp_path, policy=Policy(gpus=TWO))) as engine:
        engine.submit(make_runs(tmp_path, text)[0])
        engine.wait()

    assert [gpu] == seen


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
    uuids = ["GPU-1-a", "GPU-2-b"]
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: len(uuids))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lambda handle: uuids[handle])
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda handle: "a model")
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
