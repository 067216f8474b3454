"""The host beside a run: every figure from a fake system, and every limit from just below to just above."""

import os
from types import SimpleNamespace

import psutil
import pytest

from resnet18.measure import host
from resnet18.measure.disturbance import disturbances
from resnet18.measure.host import FIGURES, HostWatch, usable_cpus
from resnet18.records.record import Conditions

STATES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
# Seconds of three CPUs, of which the first two are ours, before and after a span of 10 s. In it ours were busy for
# 6 + 1 and 2.5 + 0.5 s, stolen 0.5 s, idle 3 + 6.5 s; the third is somebody else's.
BEFORE = [(10, 0, 1, 50, 0.5, 0, 0.1, 0.2), (20, 0.05, 2, 40, 0.6, 0.01, 0.2, 0.3), (0, 0, 0, 0, 0, 0, 0, 0)]
AFTER = [(16, 0, 1.5, 53, 0.5, 0.2, 0.4, 0.2), (22, 0.25, 2.3, 46, 1.1, 0.01, 0.7, 0.8), (10, 0, 0, 0, 0, 0, 0, 0)]


class FakeHost:
    """Two looks at a system: the value of each thing before and after a span, or an error that reading it raises."""

    def __init__(self):
        self.states, self.cpu_times = STATES, [BEFORE, AFTER]
        self.own_s = [0.0, 6.0]
        self.load = [0.36, 7.0]
        self.asleep_s = [3.0, 3.0]
        self.clock_s = [100.0, 110.0]
        self.battery = [SimpleNamespace(power_plugged=True)] * 2
        self.waited_us = [52_000_000, 53_000_000]
        self.look = 0

    def now(self, name):
        """Return a value at this look."""
        value = getattr(self, name)[self.look]
        if isinstance(value, Exception):
            raise value
        return value


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """CPUs 0 and 1 are ours; between two looks 10 s pass, we compute for 6 s, and nobody sleeps."""
    fake = FakeHost()
    now = fake.now
    for name in ("CGROUPS", "OUR_CGROUPS", "PRESSURE", "SUPPLIES", "CPUS"):
        monkeypatch.setattr(host, name, tmp_path / str(getattr(host, name)).lstrip("/"))
    clock = SimpleNamespace(
        CLOCK_BOOTTIME=1,
        CLOCK_MONOTONIC=2,
        clock_gettime=lambda kind: now("asleep_s") if kind == 1 else 0.0,
        monotonic=lambda: now("clock_s"),
    )

    def cpu_times(percpu):
        return [SimpleNamespace(**dict(zip(fake.states, cpu, strict=False))) for cpu in now("cpu_times")]

    monkeypatch.setattr(host, "time", clock)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(os, "times", lambda: (now("own_s"), 0.0, 0.0, 0.0, 0.0))
    monkeypatch.setattr(os, "getloadavg", lambda: (now("load"), 0.0, 0.0))
    monkeypatch.setattr(psutil, "cpu_times", cpu_times)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: now("battery"))
    write(host.CPUS / "online", "0-2\n")
    write(host.CPUS / "cpu0/cpufreq/scaling_governor", "performance\n")
    write(host.OUR_CGROUPS, "0::/user.slice/job\n")
    write(host.CGROUPS / "user.slice/job/cpu.max", "150000 100000\n")
    return fake


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def watched(fake):
    """Return conditions and reasons of a span."""
    pressure = "some avg10=1.50 avg60=0.40 avg300=0.86 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    write(host.PRESSURE, pressure.format(fake.waited_us[0]))
    with HostWatch() as watch:
        fake.look = 1
        write(host.PRESSURE, pressure.format(fake.waited_us[1]))
    return watch.facts()


def figure(fake, key):
    """Return a figure, with its reason where it is null."""
    conditions, reasons = watched(fake)
    return conditions[key], reasons.get(f"conditions.{key}")


def test_a_span_has_these_figures(fake):
    """Of 20 s of our two CPUs 10 were busy, 6 with our work; in 1 of 10 s something waited. A record takes them."""
    expected = {
        "cpus": 2,
        "cpu_quota": 1.5,
        "cpu_steal_share": pytest.approx(0.5 / 20),
        "cpu_others_share": pytest.approx(4 / 20),
        "cpu_pressure_share": 0.1,
        "load_average": 0.36,
        "governor": "performance",
        "on_battery": False,
        "suspended_s": 0.0,
    }
    conditions, reasons = watched(fake)

    assert (expected, {}) == (conditions, reasons)
    assert conditions.items() <= Conditions(**dict.fromkeys(Conditions.model_fields) | conditions).model_dump().items()


@pytest.mark.parametrize(
    ("attribute", "keys"),
    [
        ("cpu_times", {"cpu_steal_share", "cpu_others_share"}),
        ("load", {"load_average"}),
        ("asleep_s", {"suspended_s"}),
        ("battery", {"on_battery"}),
    ],
)
@pytest.mark.parametrize("look", [0, 1])
def test_a_figure_that_cannot_be_read_is_null_with_the_reason(attribute, keys, look, fake):
    values = [*getattr(fake, attribute)]
    values[look] = FileNotFoundError(2, "No such file or directory", "/proc/stat")
    setattr(fake, attribute, values)
    _, reasons = watched(fake)

    assert {f"conditions.{key}" for key in keys} == set(reasons)
    assert {"FileNotFoundError: [Errno 2] No such file or directory: '/proc/stat'"} == set(reasons.values())


def test_the_real_host_is_watched_without_an_error():
    with HostWatch() as watch:
        pass
    conditions, reasons = watch.facts()

    assert set(FIGURES) == set(conditions)
    assert {f"conditions.{key}" for key, value in conditions.items() if value is None} == set(reasons)


@pytest.mark.parametrize("online", ["0,2-3", "0-7", ""])
def test_cpus_that_psutil_does_not_number_make_shares_unknown(online, fake):
    """One is offline, or a container lists others: which are ours is not told."""
    write(host.CPUS / "online", online)
    reason = "the system lists 3 CPUs without saying which of them are our 2"

    assert (None, reason) == figure(fake, "cpu_others_share")


def test_a_container_that_lists_its_own_cpus_has_shares(fake, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 6})
    fake.cpu_times = [BEFORE[:2], AFTER[:2]]

    assert (pytest.approx(0.2), None) == figure(fake, "cpu_others_share")


def test_a_system_that_counts_no_stolen_time_has_no_share_of_it(fake):
    """As macOS: null, not 0; what others used is known."""
    fake.states = STATES[:4]
    conditions, reasons = watched(fake)

    assert conditions["cpu_others_share"] > 0
    assert "this system does not count what a hypervisor takes" == reasons["conditions.cpu_steal_share"]


@pytest.mark.parametrize(("seconds", "share"), [(0.0, None), (0.99, None), (1.01, 0.0)])
def test_a_span_of_less_than_a_second_has_no_shares(seconds, share, fake):
    """A single tick would look like another program; a sandbox may fake counters that stand still."""
    fake.cpu_times = [BEFORE, [(*cpu[:3], cpu[3] + seconds, *cpu[4:]) for cpu in BEFORE]]

    assert share == figure(fake, "cpu_steal_share")[0]


LESS_THAN_OURS = "the system counted 10.00 s of work, less than ours alone (11.20 s)"


@pytest.mark.parametrize(("own_s", "found"), [(11.0, (0.0, None)), (11.2, (None, LESS_THAN_OURS))])
def test_counters_that_miss_our_own_work_tell_nothing_of_others(own_s, found, fake):
    """A little less is the counters' rounding; much less would say that nobody else worked."""
    fake.own_s[1] = own_s

    assert found == figure(fake, "cpu_others_share")


@pytest.mark.parametrize(
    ("plugged", "on_battery"), [((False, False), True), ((None, None), None), ((True, False), True), ("none", None)]
)
def test_a_machine_without_mains_whose_battery_empties_is_on_battery(plugged, on_battery, fake):
    """Also where the plug is pulled during the run; a machine without a battery tells nothing."""
    fake.battery = [None, None] if plugged == "none" else [SimpleNamespace(power_plugged=value) for value in plugged]

    assert on_battery == figure(fake, "on_battery")[0]


@pytest.mark.parametrize(("own_battery", "on_battery"), [(False, None), (True, True)])
def test_the_battery_of_a_mouse_does_not_count(own_battery, on_battery, fake):
    """Its scope is "Device"; psutil reads it where the machine has none."""
    fake.battery = [SimpleNamespace(power_plugged=False)] * 2
    write(host.SUPPLIES / "hidpp_battery_0/scope", "Device\n")
    if own_battery:
        write(host.SUPPLIES / "BAT0/type", "Battery\n")

    assert on_battery == figure(fake, "on_battery")[0]


def test_sleep_is_what_one_clock_counted_and_the_other_did_not(fake):
    """To the millisecond: below it the two clocks were merely not read at once."""
    fake.asleep_s[1] = 45.5004

    assert (42.5, None) == figure(fake, "suspended_s")


# -- control groups

JOB, SLICE, TOP = "user.slice/job/cpu.max", "user.slice/cpu.max", "cpu.max"


@pytest.mark.parametrize(
    ("group", "files", "quota"),
    [
        ("/user.slice/job", {JOB: "150000 100000"}, 1.5),
        ("/user.slice/job", {SLICE: "50000 100000"}, 0.5),
        ("/user.slice/job", {JOB: "max 100000", SLICE: "300000 100000", TOP: "200000 100000"}, 2.0),
        ("/", {TOP: "50000 200000"}, 0.25),
        ("/../..", {TOP: "50000 200000"}, 0.25),
        ("/user.slice/job", {f"unified/{SLICE}": "100000 100000"}, 1.0),
        ("/user.slice/job", {SLICE: "max 100000"}, None),
        ("/user.slice/job", {SLICE: "nonsense"}, None),
        ("/user.slice/job", {}, None),
    ],
)
def test_the_quota_of_version_2_is_the_least_on_the_way_up(group, files, quota, fake):
    """A group around ours binds us too; seen from inside a container ours is the mount point. No limit is null."""
    (host.CGROUPS / JOB).unlink()
    write(host.OUR_CGROUPS, f"0::{group}\n")
    for name, text in files.items():
        write(host.CGROUPS / name, text)

    assert (quota, None if quota else "no control group that can be read limits the CPUs") == figure(fake, "cpu_quota")


@pytest.mark.parametrize("mount", ["cpu,cpuacct/docker/abc", "cpu/docker/abc", "cpu/docker", "cpu,cpuacct"])
@pytest.mark.parametrize(("limit", "quota"), [("250000", 2.5), ("-1", None)])
def test_the_quota_of_version_1_is_found_under_its_mounts(mount, limit, quota, fake):
    """Named for its controllers or for one of them; the group's path, or above it, or the mount point."""
    write(host.OUR_CGROUPS, "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/\n0::/\n")
    write(host.CGROUPS / mount / "cpu.cfs_quota_us", f"{limit}\n")
    write(host.CGROUPS / mount / "cpu.cfs_period_us", "100000\n")

    assert quota == figure(fake, "cpu_quota")[0]


@pytest.mark.parametrize(
    ("quota", "cpus", "usable"),
    [("150000", 4, 2), ("150000", 1, 1), ("20000", 4, 1), ("max", 4, 4), ("400000", 2, 2), ("nonsense", 3, 3)],
)
def test_usable_processors_are_the_fewer_of_affinity_and_quota(quota, cpus, usable, fake, monkeypatch):
    """Where the system binds no process, all processors count."""
    write(host.CGROUPS / JOB, f"{quota} 100000")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cpus)))
    assert usable == len(usable_cpus())

    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: cpus)
    assert usable == len(usable_cpus())


# -- disturbances

QUIET = {
    "cpus": 2, "cpu_quota": None, "cpu_steal_share": 0.0, "cpu_others_share": 0.007, "cpu_pressure_share": 0.012,
    "load_average": 9.0, "governor": "powersave", "on_battery": False, "suspended_s": 0.0,
    "gpu_other_processes": 0, "gpu_throttle": ("SwPowerCap",), "gpu_clock_mhz": (1980, 1980, 1980),
}  # fmt: skip
STEADY = (9.0, 5.0, 5.1, 5.0, 4.9, 5.0)


@pytest.mark.parametrize("conditions", [QUIET, QUIET | {"gpu_clock_mhz": (0, 0, 0)}, dict.fromkeys(QUIET), {}])
def test_the_time_of_a_quiet_run_is_not_unreliable(conditions):
    """A power cap, a governor's name, the load before, a slow first epoch and what is unknown are no reasons."""
    assert () == disturbances(conditions, STEADY)
    assert () == disturbances(conditions, ())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"cpu_steal_share": 0.02}, None),
        ({"cpu_steal_share": 0.021}, "the hypervisor took 2.1% of the CPU time (times count up to 2%)"),
        ({"cpu_others_share": 0.015}, None),
        ({"cpu_others_share": 0.02}, "other programs used 0.04 of 2 CPUs (times count up to 0.03)"),
        ({"cpu_pressure_share": 0.9}, None),
        ({"cpu_pressure_share": 0.1, "cpu_others_share": None}, None),
        (
            {"cpu_pressure_share": 0.11, "cpu_others_share": None},
            "work waited for a CPU in 11.0% of the time (times count up to 10%)",
        ),
        ({"on_battery": True}, "the machine ran on its battery"),
        ({"suspended_s": 1.0}, None),
        ({"suspended_s": 1.1}, "the machine slept for 1.1 s (times count up to 1 s)"),
        ({"gpu_other_processes": 1}, "other programs used the GPU (1)"),
        ({"gpu_throttle": ("SwPowerCap", "HwThermalSlowdown")}, "the GPU lowered its clock: HwThermalSlowdown"),
        (
            {"gpu_throttle": ["SwThermalSlowdown", "HwSlowdown", "HwPowerBrakeSlowdown"]},
            "the GPU lowered its clock: SwThermalSlowdown, HwSlowdown, HwPowerBrakeSlowdown",
        ),
        ({"gpu_clock_mhz": (1900, 1990, 2000)}, None),
        (
            {"gpu_clock_mhz": (1890, 1990, 2000)},
            "the GPU's clock fell by 5.5%, to 1890 of 2000 MHz (times count up to 5%)",
        ),
    ],
)
def test_a_time_is_unreliable_above_a_limit_and_not_at_it(changes, sentence):
    assert (() if sentence is None else (sentence,)) == disturbances(QUIET | changes, STEADY)


@pytest.mark.parametrize(("share", "reasons"), [(0.51, 0), (0.52, 1)])
def test_a_run_that_leaves_a_processor_free_lets_others_use_it(share, reasons):
    """One thread on two processors: others may use one, and 3 % of the other."""
    assert reasons == len(disturbances(QUIET | {"cpu_others_share": share}, STEADY, threads=1))


@pytest.mark.parametrize(
    ("seconds", "reasons"),
    [
        ((5.0, 9.0, 9.0, 11.0, 10.0, 11.0), 0),
        ((5.0, 8.7, 8.7, 11.3, 10.0, 11.3), 1),
        ((5.0, 1.0, 9.0, 1.0, 9.0), 0),
        ((99.0, 5.0, 5.0, 5.0, 5.0, 5.0), 0),
        ((0.0, 0.0, 0.0, 0.0, 0.0, 0.0), 0),
    ],
)
def test_epochs_that_spread_make_a_time_unreliable(seconds, reasons):
    """At a standard deviation of 10 % not yet, at 13 % so; not with fewer than five after the first."""
    assert reasons == len(disturbances(QUIET, seconds))
