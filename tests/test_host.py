"""The host beside a run: every figure from a fake system, and every limit from just below to just above."""

import os
from types import SimpleNamespace

import psutil
import pytest

from resnet18.measure import host
from resnet18.measure.host import HostWatch, usable_cpus
from resnet18.records.content import disturbances, lost_cpus
from resnet18.records.record import Conditions

STATES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
# Seconds of three CPUs, of which the first two are ours, before and after a span of 10 s. In it ours were busy for
# 6 + 1 and 2.5 + 0.5 s, stolen 0.5 s, idle 3 + 6.5 s; the third is somebody else's.
BEFORE = [(10, 0, 1, 50, 0.5, 0, 0.1, 0.2), (20, 0.05, 2, 40, 0.6, 0.01, 0.2, 0.3), (0, 0, 0, 0, 0, 0, 0, 0)]
AFTER = [(16, 0, 1.5, 53, 0.5, 0.2, 0.4, 0.2), (22, 0.25, 2.3, 46, 1.1, 0.01, 0.7, 0.8), (10, 0, 0, 0, 0, 0, 0, 0)]


class FakeHost:
    """Two looks at a system: the value of each thing before and after a span, or an error that reading it raises."""

    def __init__(self):
        self.ours, self.states, self.cpu_times = {0, 1}, STATES, [BEFORE, AFTER]
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
    """Between two looks 10 s pass, we compute for 6 s, and nobody sleeps."""
    fake = FakeHost()
    fake.root = tmp_path
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
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: fake.ours, raising=False)
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


def test_a_span_has_these_figures(fake):
    """Of 20 s of our two CPUs 10 were busy, 6 with our work; in 1 of 10 s something waited. A record takes them."""
    expected = {
        "cpus": 2, "cpu_quota": 1.5, "cpu_steal_share": pytest.approx(0.5 / 20), "cpu_pressure_share": 0.1,
        "cpu_others_share": pytest.approx(4 / 20), "load_average": 0.36, "governor": "performance",
        "on_battery": False, "suspended_s": 0.0,
    }  # fmt: skip
    conditions, reasons = watched(fake)

    assert (expected, {}) == (conditions, reasons)
    assert conditions.items() <= Conditions(**dict.fromkeys(Conditions.model_fields) | conditions).model_dump().items()


UNREAD = {
    "cpu_times": {"cpu_steal_share", "cpu_others_share"}, "load": {"load_average"}, "asleep_s": {"suspended_s"},
    "battery": {"on_battery"},
}  # fmt: skip


@pytest.mark.parametrize("attribute", UNREAD)
@pytest.mark.parametrize("look", [0, 1])
def test_a_figure_that_cannot_be_read_is_null_with_the_reason(attribute, look, fake):
    getattr(fake, attribute)[look] = FileNotFoundError(2, "No such file or directory", "/proc/stat")
    reason = "FileNotFoundError: [Errno 2] No such file or directory: '/proc/stat'"

    assert {f"conditions.{key}": reason for key in UNREAD[attribute]} == watched(fake)[1]


UNNUMBERED = "the system lists 3 CPUs without saying which of them are our 2"
UNCOUNTED = "this system does not count what a hypervisor takes"
TOO_SHORT = "the system counted 0.99 s of each CPU; shares need at least 1 s"
LESS_THAN_OURS = "the system counted 10.00 s of work, less than ours alone (11.20 s)"
NO_BATTERY = "the system tells of no battery of its own, or not whether it is charged"
NO_LIMIT = "no control group that can be read limits the CPUs"
PLUGGED, UNPLUGGED, UNKNOWN = (SimpleNamespace(power_plugged=value) for value in (True, False, None))
ON_BATTERY = {"battery": [UNPLUGGED, UNPLUGGED]}
MOUSE = {"sys/class/power_supply/hidpp_battery_0/scope": "Device"}  # psutil reads it where the machine has no battery
OWN_BATTERY = {"sys/class/power_supply/BAT0/type": "Battery"}


def idle(seconds):
    return {"cpu_times": [BEFORE, [(*cpu[:3], cpu[3] + seconds, *cpu[4:]) for cpu in BEFORE]]}


MACHINES = {  # by name: attributes of the fake and files, and figures or reasons
    "a CPU is offline": ({"sys/devices/system/cpu/online": "0,2-3"}, {"cpu_others_share": UNNUMBERED}),
    "a container lists more": ({"sys/devices/system/cpu/online": "0-7"}, {"cpu_others_share": UNNUMBERED}),
    "a container lists its own": (
        {"ours": {4, 6}, "cpu_times": [BEFORE[:2], AFTER[:2]]}, {"cpu_others_share": pytest.approx(4 / 20)},
    ),
    "macOS": (
        {"states": STATES[:4]}, {"cpu_others_share": pytest.approx(3 / 18), "cpu_steal_share": UNCOUNTED},
    ),
    # A single tick would look like another program; a sandbox may fake counters that stand still.
    "less than a second": (idle(0.99), {"cpu_steal_share": TOO_SHORT}),
    "a second": (idle(1.01), {"cpu_steal_share": 0.0}),
    # A little less is the counters' rounding; much less would say that nobody else worked.
    "a little less than ours": ({"own_s": [0.0, 11.0]}, {"cpu_others_share": 0.0}),
    "much less than ours": ({"own_s": [0.0, 11.2]}, {"cpu_others_share": LESS_THAN_OURS}),
    "a battery": (ON_BATTERY, {"on_battery": True}),
    "a plug that is pulled": ({"battery": [PLUGGED, UNPLUGGED]}, {"on_battery": True}),
    "a battery that tells nothing": ({"battery": [UNKNOWN, UNKNOWN]}, {"on_battery": NO_BATTERY}),
    "no battery": ({"battery": [None, None]}, {"on_battery": NO_BATTERY}),
    "a mouse's battery": (ON_BATTERY | MOUSE, {"on_battery": NO_BATTERY}),
    "a mouse's and its own": (ON_BATTERY | MOUSE | OWN_BATTERY, {"on_battery": True}),
    # To the millisecond: below it the two clocks were merely not read at once.
    "sleep": ({"asleep_s": [3.0, 45.5004]}, {"suspended_s": 42.5}),
}  # fmt: skip


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_tells_this_or_why_not(name, fake):
    changes, expected = MACHINES[name]
    for key, value in changes.items():
        write(fake.root / key, value) if "/" in key else setattr(fake, key, value)
    conditions, reasons = watched(fake)

    assert expected == {key: reasons.get(f"conditions.{key}", conditions[key]) for key in expected}


def of_version_1(mount, quota="250000"):
    return {f"{mount}/cpu.cfs_quota_us": f"{quota}\n", f"{mount}/cpu.cfs_period_us": "100000\n"}


VERSION_1 = "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/\n0::/\n"
VERSION_2 = "0::/outer/job\n"


@pytest.mark.parametrize(
    ("groups", "files", "quota"),
    [
        (VERSION_2, {"outer/job/cpu.max": "150000 100000"}, 1.5),
        (VERSION_2, {"outer/cpu.max": "50000 100000"}, 0.5),
        (VERSION_2, {"outer/job/cpu.max": "max 100000", "outer/cpu.max": "3000 1000", "cpu.max": "2000 1000"}, 2.0),
        (VERSION_2, {"unified/outer/cpu.max": "100000 100000"}, 1.0),
        ("0::/../..\n", {"cpu.max": "50000 200000"}, 0.25),
        (VERSION_2, {"outer/cpu.max": "nonsense"}, NO_LIMIT),
        (VERSION_2, {}, NO_LIMIT),
        *((VERSION_1, of_version_1(mount), 2.5) for mount in ("cpu,cpuacct/docker/abc", "cpu/docker", "cpu,cpuacct")),
        (VERSION_1, of_version_1("cpu", "-1"), NO_LIMIT),
    ],
)
def test_the_quota_is_the_least_of_our_control_groups(groups, files, quota, fake):
    """A group around ours binds us too; in a container ours is the mount point, which names one controller or both."""
    write(host.OUR_CGROUPS, groups)
    for name, text in files.items():
        write(host.CGROUPS / name, text)
    conditions, reasons = watched(fake)

    assert quota == reasons.get("conditions.cpu_quota", conditions["cpu_quota"])


@pytest.mark.parametrize(
    ("quota", "cpus", "usable"),
    [("150000", 4, 2), ("150000", 1, 1), ("20000", 4, 1), ("max", 4, 4), ("400000", 2, 2), ("nonsense", 3, 3)],
)
def test_usable_processors_are_the_fewer_of_affinity_and_quota(quota, cpus, usable, fake, monkeypatch):
    """Where the system binds no process, all processors count."""
    write(host.CGROUPS / "user.slice/job/cpu.max", f"{quota} 100000")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cpus)))
    assert usable == len(usable_cpus())

    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: cpus)
    assert usable == len(usable_cpus())


QUIET = {
    "cpus": 2, "cpu_quota": None, "cpu_steal_share": 0.001, "cpu_others_share": 0.007, "cpu_pressure_share": 0.012,
    "load_average": 9.0, "governor": "powersave", "on_battery": False, "suspended_s": 0.0,
    "gpu_other_processes": 0, "gpu_throttle": ("SwPowerCap",), "gpu_clock_mhz": (1980, 1980, 1980),
}  # fmt: skip
TWO_THREADS = {"threads": 2, "device": "cpu"}


def test_the_time_of_a_quiet_run_is_not_unreliable():
    """A governor's name, the load before and what is unknown are no reasons."""
    assert [(), (), ()] == [disturbances(conditions, TWO_THREADS) for conditions in (QUIET, dict.fromkeys(QUIET), {})]


TROUBLE = ["SwThermalSlowdown", "HwThermalSlowdown", "HwSlowdown", "HwPowerBrakeSlowdown"]
LIMITS = {  # by the sentence: what is no reason yet, and what is
    "other programs used 0.30 of 2 CPUs and the hypervisor took 0.22: 0.52 more than the run left free "
    "(times count up to 0.50)": (
        {"cpu_others_share": 0.15, "cpu_steal_share": 0.1, "cpu_pressure_share": 0.9},
        {"cpu_others_share": 0.15, "cpu_steal_share": 0.11, "cpu_pressure_share": 0.9},
    ),
    "work waited for a CPU in 41.0% of the time (times count up to 40%)": (
        {"cpu_others_share": None, "cpu_pressure_share": 0.4}, {"cpu_others_share": None, "cpu_pressure_share": 0.41},
    ),
    "the machine ran on its battery": ({}, {"on_battery": True}),
    "run or machine stood still for 1.1 s (times count up to 1 s)": ({"suspended_s": 1.0}, {"suspended_s": 1.1}),
    "other programs used the GPU (1)": ({}, {"gpu_other_processes": 1}),
    f"the GPU lowered its clock: {', '.join(TROUBLE)}": ({}, {"gpu_throttle": ["SwPowerCap", *TROUBLE]}),
    "the GPU's clock fell by 5.5%, to 1890 of 2000 MHz (times count up to 5%)": (
        {"gpu_clock_mhz": (1900, 1990, 2000)}, {"gpu_clock_mhz": (1890, 1990, 2000)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", LIMITS)
def test_a_time_is_unreliable_above_a_limit_and_not_at_it(sentence):
    """Waiting for a CPU is no reason where other programs worked little."""
    quiet, noisy = LIMITS[sentence]
    assert () == disturbances(QUIET | quiet, TWO_THREADS)
    assert (sentence,) == disturbances(QUIET | noisy, TWO_THREADS)


@pytest.mark.parametrize(
    ("numerics", "lost"),
    [
        ({"threads": 2, "device": "cpu"}, 1.1),
        ({"threads": 1, "device": "cpu"}, 0.1),
        ({"threads": 8, "device": "cuda"}, 0.1),
        ({"threads": 8, "device": "cpu"}, 1.1),
        ({}, 1.1),
    ],
)
def test_a_run_that_leaves_a_processor_free_lets_others_use_it(numerics, lost):
    """Other programs use one of two processors and the hypervisor takes 0.1: that one is missed by the run anyway."""
    assert lost == pytest.approx(lost_cpus({"cpus": 2, "cpu_others_share": 0.5, "cpu_steal_share": 0.05}, numerics))
