"""What watching a GPU through NVML costs the run: one sample, and a busy loop with and without the thread.

    python -m pytest benchmarks/micro/test_sampler.py --benchmark-only

Against a fake, whose answers are Python callbacks: they hold the interpreter's lock, which real ones release, and take
no driver's time, which real ones do. The share is an estimate from above for Python's part, and none of the driver's.
"""

from statistics import median, quantiles
from time import process_time

import pytest
import torch
from fakes.nvml import NEVER_S, FakeNvml, install

from resnet18.measure.device_watch import DeviceWatch

UUID = "MIG-1"
STATE = {
    "driver": "515.57",
    "0.uuid": UUID,
    "0.total": 24 << 30,
    "0.used": 2 << 30,
    "0.compute": "self:1000000,77:5000000",
    "0.graphics": "4893:10485760",
    "0.clock_events": 4,
    "0.clock": 1695,
    "0.energy": 1,
}
PERIOD_S = 0.1
MAX_SHARE = 0.005
PAIRS = 20


def python_loop():
    """Never let go of the interpreter: the worst case for a second thread."""
    total = 0
    for number in range(8_000_000):
        total += number
    return total


def torch_loop():
    """Call small operations, as training does; each lets go of the interpreter."""
    matrix = torch.ones(64, 64)
    for _ in range(30_000):
        matrix @ matrix


def seconds_of(work):
    """Return the processor's seconds, all threads of this process included: other processes do not disturb them."""
    start = process_time()
    work()
    return process_time() - start


def test_one_sample(benchmark, monkeypatch):
    """Six calls, and adding them up."""
    install(monkeypatch, FakeNvml(STATE))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", UUID)
    with DeviceWatch(torch.device("cuda"), period_s=NEVER_S) as watch:
        benchmark.pedantic(watch.sample, rounds=200, iterations=20, warmup_rounds=5)

    assert benchmark.stats.stats.median / PERIOD_S < MAX_SHARE


@pytest.mark.parametrize(
    ("work", "period_s"),
    [(python_loop, PERIOD_S), (torch_loop, PERIOD_S / 50)],
    ids=["python", "torch-50-times-as-often"],
)
def test_share_of_a_busy_loop(benchmark, monkeypatch, work, period_s):
    """Pairs of the same work, without the thread and with it, in turns; the difference is shared out over the samples.

    Sampling more often than a run does makes the difference larger than what the machine adds by chance.
    """
    install(monkeypatch, FakeNvml(STATE))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", UUID)
    costs_s, samples = [], []

    def pair():
        plain_s = seconds_of(work)
        with DeviceWatch(torch.device("cuda"), period_s=period_s) as watch:
            watched_s = seconds_of(work)
        samples.append(watch.facts().conditions["samples"])
        costs_s.append((watched_s - plain_s) / samples[-1])

    benchmark.pedantic(pair, rounds=PAIRS, warmup_rounds=1)
    shares = [cost_s / PERIOD_S for cost_s in costs_s[1:]]
    low, middle, high = quantiles(shares, n=4)
    benchmark.extra_info["share_of_run"] = {"median": middle, "quartiles": (low, high), "pairs": len(shares)}
    benchmark.extra_info["samples"] = median(samples[1:])

    assert middle < MAX_SHARE
