"""The host beside a run: every figure from a fake kernel's files, and every limit from just below to just above."""

import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet18.measure import cgroup, host
from resnet18.measure.cgroup import usable_cpus
from resnet18.measure.disturbance import disturbances
from resnet18.measure.host import FIGURES, watch_host
from resnet18.records.record import Conditions

V1 = "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/\n0::/\n"
V2 = "0::/user.slice/job\n"
AC, BATTERY = "sys/class/power_supply/AC", "sys/class/power_supply/BAT0"

# Two of four processors are ours. In ticks: user nice system idle iowait irq softirq steal guest guest_nice.
STAT_BEFORE = """cpu  9 9 9 9 9 9 9 9 9 9
cpu0 1000 0 100 5000 50 0 10 20 0 0
cpu1 2000 5 200 4000 60 1 20 30 7 0
cpu2 1 1 1 1 1 1 1 1 0 0
intr 1 2 3
"""
# 10 s later: ours were busy for 6 + 1 and 2.5 + 0.5 s, stolen 0.5 s, idle 3 + 6.5 s; cpu2 is someone else's.
STAT_AFTER = """cpu  9 9 9 9 9 9 9 9 9 9
cpu0 1600 0 150 5300 50 20 40 20 600 0
cpu1 2200 25 230 4600 110 1 70 80 7 0
cpu2 901 1 1 1 1 1 1 1 0 0
"""
PRESSURE = "some avg10=1.50 avg60=0.40 avg300=0.86 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"

BEFORE = {
    "proc/stat": STAT_BEFORE,
    "proc/pressure/cpu": PRESSURE.format(52_000_000),
    "proc/loadavg": "0.36 0.66 0.59 1/92 12919\n",
    "proc/self/cgroup": V2,
    "sys/fs/cgroup/user.slice/job/cpu.max": "150000 100000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
    f"{AC}/type": "Mains\n",
    f"{AC}/online": "1\n",
}
AFTER = {
    "proc/stat": STAT_AFTER,
    "proc/pressure/cpu": PRESSURE.format(53_000_000),
    "proc/loadavg": "7.00 6.00 5.00 1/92 12919\n",
}


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def facts(root, before=BEFORE, after=AFTER):
    write(root, before)
    with watch_host(root) as watch:
        write(root, after)
    return watch.facts()


def figure(root, key, **files):
    """Return one figure, with its reason where it is null."""
    found = facts(root, **files)
    return found.conditions[key], found.reasons.get(f"conditions.{key}")


@pytest.fixture(autouse=True)
def _two_processors_and_clocks(monkeypatch):
    """Processors 0 and 1 are ours; between two looks 10 s pass, we compute for 6 s, and nobody sleeps."""
    looks = {"monotonic": iter(range(0, 10**6, 10)), "own": iter(range(0, 10**6, 6))}
    monkeypatch.setattr(cgroup.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(host, "time", SimpleNamespace(monotonic=lambda: float(next(looks["monotonic"]))))
    monkeypatch.setattr(host, "own_cpu_s", lambda: float(next(looks["own"])))
    monkeypatch.setattr(host, "asleep_s", lambda: 3.0)


def test_a_span_has_these_figures(tmp_path):
    """Of 20 s of our two processors 10 were busy, 6 with our work; one of 10 s had something waiting."""
    expected = {
        "cpus": 2,
        "cpu_quota": 1.5,
        "cpu_steal_share": 0.5 / 20,
        "cpu_others_share": 4 / 20,
        "cpu_pressure_share": 0.1,
        "load_average": 0.36,
        "governor": "performance",
        "on_battery": False,
        "suspended_s": 0.0,
    }

    assert expected == facts(tmp_path).conditions


def test_without_nulls_there_are_no_reasons(tmp_path):
    """A reason belongs to a null."""
    assert {} == facts(tmp_path).reasons


def test_a_record_takes_the_figures(tmp_path):
    """The keys are those of the record's conditions."""
    found = facts(tmp_path).conditions

    assert found.items() <= Conditions(**dict.fromkeys(Conditions.model_fields) | found).model_dump().items()


@pytest.mark.parametrize(
    ("missing", "key"),
    [
        ("proc/stat", "cpu_steal_share"),
        ("proc/stat", "cpu_others_share"),
        ("proc/pressure/cpu", "cpu_pressure_share"),
        ("proc/loadavg", "load_average"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "governor"),
    ],
)
def test_without_its_file_a_figure_is_null_and_the_reason_names_the_file(missing, key, tmp_path):
    """Never 0: nothing was read."""
    files = {name: text for name, text in BEFORE.items() if name != missing}

    assert (None, f"/{missing} cannot be read (FileNotFoundError)") == figure(tmp_path, key, before=files, after={})


def test_without_a_kernel_that_tells_all_is_null_with_a_reason_but_what_python_knows(tmp_path):
    """As on a system without /proc and /sys: affinity and clocks are Python's own."""
    found = facts(tmp_path, {}, {})
    nulls = {key for key, value in found.conditions.items() if value is None}

    assert set(FIGURES) - {"cpus", "suspended_s"} == nulls
    assert {f"conditions.{key}" for key in nulls} == set(found.reasons)


@pytest.mark.parametrize(
    ("name", "text", "key"),
    [
        ("proc/stat", "cpu0 1 2 3\ncpu1 1 2 3\n", "cpu_steal_share"),
        ("proc/stat", "cpu0 1 2 3 4 5 6 7 x\ncpu1 1 2 3 4 5 6 7 8\n", "cpu_others_share"),
        ("proc/stat", "cpu0 1 2 3 4 5 6 7 -8\ncpu1 1 2 3 4 5 6 7 8\n", "cpu_others_share"),
        ("proc/pressure/cpu", "some avg10=1.50\n", "cpu_pressure_share"),
        ("proc/loadavg", "nan 0 0\n", "load_average"),
        ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "<unknown>\n", "governor"),
        ("sys/fs/cgroup/user.slice/job/cpu.max", "150000\n", "cpu_quota"),
        ("sys/fs/cgroup/user.slice/job/cpu.max", "150000 0\n", "cpu_quota"),
        ("sys/fs/cgroup/user.slice/job/cpu.max", "0 100000\n", "cpu_quota"),
    ],
)
def test_a_malformed_file_is_a_reason(name, text, key, tmp_path):
    """It names the file; nothing is guessed from the rest of it."""
    assert (None, f"/{name} is malformed") == figure(tmp_path, key, before=BEFORE | {name: text}, after={})


def test_a_processor_of_ours_that_is_not_listed_makes_shares_unknown(tmp_path):
    """Some containers number their processors anew in /proc/stat."""
    files = BEFORE | {"proc/stat": STAT_BEFORE.replace("cpu1", "cpu7")}
    reason = "/proc/stat does not list 1 of our 2 processors"

    assert (None, reason) == figure(tmp_path, "cpu_others_share", before=files, after={})


def test_counters_that_stand_still_make_shares_unknown(tmp_path):
    """A sandbox may fake the file with zeros."""
    reason = "/proc/stat counted 0.00 s by processor; its unit needs at least 1 s"

    assert (None, reason) == figure(tmp_path, "cpu_steal_share", after={})


@pytest.mark.parametrize(("ticks", "share"), [(99, None), (100, 0.0)])
def test_a_span_of_less_than_a_second_has_no_shares(ticks, share, tmp_path):
    """A single tick would look like another program."""
    idle = STAT_BEFORE.replace(" 5000 ", f" {5000 + ticks} ").replace(" 4000 ", f" {4000 + ticks} ")

    assert share == figure(tmp_path, "cpu_steal_share", after={"proc/stat": idle})[0]


def test_a_file_that_does_not_count_our_own_work_tells_nothing_of_others(tmp_path, monkeypatch):
    """It would say that nobody else worked."""
    monkeypatch.setattr(host, "own_cpu_s", iter((0.0, 11.2)).__next__)
    reason = "/proc/stat counted 10.00 s of work, less than ours alone (11.20 s)"

    assert (None, reason) == figure(tmp_path, "cpu_others_share")


def test_a_little_less_work_than_our_own_is_nobody_else(tmp_path, monkeypatch):
    """The file counts in hundredths of a second, our own time is exact."""
    monkeypatch.setattr(host, "own_cpu_s", iter((0.0, 11.0)).__next__)

    assert (0.0, None) == figure(tmp_path, "cpu_others_share")


def test_a_counter_that_runs_backwards_counts_nothing(tmp_path):
    """The kernel's documentation allows it for iowait; here 50 and 60 ticks are taken back."""
    after = AFTER | {"proc/stat": STAT_AFTER.replace(" 5300 50 ", " 5300 0 ").replace(" 4600 110 ", " 4600 0 ")}

    assert (0.5 / 19.5, None) == figure(tmp_path, "cpu_steal_share", after=after)


def test_a_span_without_length_has_no_pressure(tmp_path, monkeypatch):
    """A share of nothing is unknown."""
    monkeypatch.setattr(host, "time", SimpleNamespace(monotonic=lambda: 5.0))

    assert (None, "the span was shorter than the clock's unit") == figure(tmp_path, "cpu_pressure_share")


def test_pressure_is_at_most_all_of_the_time(tmp_path):
    """The kernel's counter and our clock are not read in one instant."""
    after = {"proc/pressure/cpu": PRESSURE.format(62_000_500)}

    assert (1.0, None) == figure(tmp_path, "cpu_pressure_share", after=after)


@pytest.mark.parametrize(
    ("supplies", "on_battery"),
    [
        ({"AC": ("Mains", "1", None), "BAT0": ("Battery", None, "Charging")}, False),
        ({"AC": ("Mains", "1", None), "BAT0": ("Battery", None, "Discharging")}, False),
        ({"AC": ("Mains", "0", None), "BAT0": ("Battery", None, "Discharging")}, True),
        ({"BAT0": ("Battery", "1", "Discharging")}, True),
        ({"AC": ("Mains", "0", None), "usb": ("USB", "1", None), "BAT0": ("Battery", None, "Discharging")}, False),
        ({"BAT0": ("Battery", None, "Full"), "BAT1": ("Battery", None, "Discharging")}, True),
        ({"BAT0": ("Battery", None, "Not charging")}, False),
        ({"BAT0": ("Battery", None, "Unknown")}, None),
        ({"AC": ("Mains", "?", None)}, None),
    ],
)
def test_a_machine_without_mains_whose_battery_empties_is_on_battery(supplies, on_battery, tmp_path):
    """A supply that is online decides, then the batteries."""
    for name, values in supplies.items():
        told = {key: value for key, value in zip(("type", "online", "status"), values, strict=True) if value}
        write(tmp_path, {f"sys/class/power_supply/{name}/{key}": value + "\n" for key, value in told.items()})

    assert on_battery == figure(tmp_path, "on_battery", before={}, after={})[0]


def test_the_battery_of_a_mouse_does_not_count(tmp_path):
    """Its scope is "Device"."""
    write(tmp_path, {f"{BATTERY}/type": "Battery", f"{BATTERY}/scope": "Device", f"{BATTERY}/status": "Discharging"})

    assert figure(tmp_path, "on_battery", before={}, after={})[0] is None


def test_a_plug_that_is_pulled_during_the_run_is_seen(tmp_path):
    """Both looks count."""
    before = BEFORE | {f"{BATTERY}/type": "Battery", f"{BATTERY}/status": "Charging"}
    after = {f"{AC}/online": "0", f"{BATTERY}/status": "Discharging"}

    assert (True, None) == figure(tmp_path, "on_battery", before=before, after=after)


def test_sleep_is_what_one_clock_counted_and_the_other_did_not(tmp_path, monkeypatch):
    """To the millisecond: below it the two clocks were merely not read at once."""
    monkeypatch.setattr(host, "asleep_s", iter((3.0, 45.5004)).__next__)

    assert (42.5, None) == figure(tmp_path, "suspended_s")


def test_without_a_clock_that_counts_sleep_it_is_unknown(monkeypatch):
    """As on macOS."""
    monkeypatch.undo()
    monkeypatch.delattr(host.time, "CLOCK_BOOTTIME", raising=False)

    with pytest.raises(cgroup.UnknownError, match="no CLOCK_BOOTTIME"):
        host.asleep_s()


def test_facts_can_be_had_before_the_watch_is_left(tmp_path):
    """After a failure inside, say."""
    write(tmp_path, BEFORE)
    watch = watch_host(tmp_path)
    write(tmp_path, AFTER)

    assert 0.2 == watch.facts().conditions["cpu_others_share"]


def test_the_real_host_is_watched_without_an_error(monkeypatch):
    """Whatever this machine tells, each null has its reason."""
    monkeypatch.undo()
    with watch_host() as watch:
        pass
    found = watch.facts()

    assert {f"conditions.{key}" for key, value in found.conditions.items() if value is None} == set(found.reasons)


# -- control groups


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/user.slice/job/cpu.max": "150000 100000"}, 1.5),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/user.slice/cpu.max": "50000 100000"}, 0.5),
        (
            {
                "proc/self/cgroup": V2,
                "sys/fs/cgroup/user.slice/job/cpu.max": "max 100000",
                "sys/fs/cgroup/user.slice/cpu.max": "300000 100000",
                "sys/fs/cgroup/cpu.max": "200000 100000",
            },
            2.0,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 200000"}, 0.25),
        ({"proc/self/cgroup": "0::/../..\n", "sys/fs/cgroup/cpu.max": "50000 200000"}, 0.25),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/unified/user.slice/cpu.max": "100000 100000"}, 1.0),
    ],
)
def test_the_quota_of_version_2_is_the_least_on_the_way_up(files, quota, tmp_path):
    """A group around ours binds us too; seen from inside a container ours is the mount point."""
    assert (quota, None) == figure(tmp_path, "cpu_quota", before=files, after={})


@pytest.mark.parametrize("mount", ["cpu,cpuacct/docker/abc", "cpu/docker/abc", "cpu/docker", "cpu,cpuacct"])
def test_the_quota_of_version_1_is_found_under_its_mounts(mount, tmp_path):
    """Named for its controllers or for one of them; the group's path, or above it, or the mount point."""
    folder = f"sys/fs/cgroup/{mount}"
    files = {
        "proc/self/cgroup": V1,
        f"{folder}/cpu.cfs_quota_us": "250000\n",
        f"{folder}/cpu.cfs_period_us": "100000\n",
    }

    assert (2.5, None) == figure(tmp_path, "cpu_quota", before=files, after={})


@pytest.mark.parametrize(
    "files",
    [
        {"proc/self/cgroup": V2, "sys/fs/cgroup/user.slice/cpu.max": "max 100000"},
        {
            "proc/self/cgroup": V1,
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
    ],
)
def test_no_limit_is_null_with_that_reason(files, tmp_path):
    """The word `max` in version 2, -1 in version 1."""
    assert (None, "the container has no limit of processors") == figure(tmp_path, "cpu_quota", before=files, after={})


def test_without_cgroup_files_the_quota_is_unknown(tmp_path):
    """Which is not the same as none."""
    assert (None, "no cgroup file tells a limit of processors") == figure(tmp_path, "cpu_quota", before={}, after={})


@pytest.mark.parametrize(
    ("quota", "processors", "usable"),
    [("150000", 4, 2), ("150000", 1, 1), ("20000", 4, 1), ("max", 4, 4), ("400000", 2, 2), ("nonsense", 3, 3)],
)
def test_usable_processors_are_the_fewer_of_affinity_and_quota(quota, processors, usable, tmp_path, monkeypatch):
    """The quota rounded up, and at least one."""
    monkeypatch.setattr(cgroup.os, "sched_getaffinity", lambda _: set(range(processors)), raising=False)
    write(tmp_path, {"proc/self/cgroup": V2, "sys/fs/cgroup/user.slice/job/cpu.max": f"{quota} 100000"})

    assert usable == usable_cpus(tmp_path)


def test_where_the_system_binds_no_process_all_processors_are_usable(tmp_path, monkeypatch):
    """As on macOS."""
    monkeypatch.delattr(cgroup.os, "sched_getaffinity")
    monkeypatch.setattr(cgroup.os, "cpu_count", lambda: 8)

    assert 8 == usable_cpus(tmp_path)


# -- whatever the files hold

TOKENS = st.sampled_from(
    ("cpu0", "cpu1", "some", "avg10=0.0", "total=9", "max", "-1", "0", "1", "100000", "9" * 25, "nan", "1e400", "\x00")
) | st.sampled_from(("\n", "0::/", "/x/", "4:cpu:/", "::", "oom_kill", "\N{ARABIC-INDIC DIGIT THREE}", "Discharging"))
TEXTS = st.lists(TOKENS, max_size=30).map(" ".join) | st.text(max_size=40)
NAMES = st.sampled_from([*BEFORE, "sys/fs/cgroup/memory.events", "sys/fs/cgroup/cpu.max", "proc/vmstat"])


@given(before=st.dictionaries(NAMES, TEXTS, max_size=4), after=st.dictionaries(NAMES, TEXTS, max_size=4))
def test_whatever_files_hold_a_record_takes_what_is_found(before, after):
    """Nothing is raised, values are within the record's bounds, and each null has its reason."""
    with tempfile.TemporaryDirectory() as folder:
        found = facts(Path(folder), BEFORE | before, AFTER | after)
    Conditions(**dict.fromkeys(Conditions.model_fields) | found.conditions)

    assert {f"conditions.{key}" for key, value in found.conditions.items() if value is None} == set(found.reasons)


@given(files=st.dictionaries(NAMES, TEXTS, max_size=4))
def test_whatever_files_hold_there_is_a_processor(files):
    """Nothing is raised."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), BEFORE | files)

        assert usable_cpus(Path(folder)) in {1, 2}


# -- disturbances

QUIET = {
    "cpus": 2,
    "cpu_quota": None,
    "cpu_steal_share": 0.0,
    "cpu_others_share": 0.007,
    "cpu_pressure_share": 0.012,
    "load_average": 9.0,
    "governor": "powersave",
    "on_battery": False,
    "suspended_s": 0.0,
    "gpu_other_processes": 0,
    "gpu_throttle": ("SwPowerCap",),
    "gpu_clock_mhz": (1980, 1980, 1980),
}
STEADY = (9.0, 5.0, 5.1, 5.0, 4.9, 5.0)


def test_the_time_of_a_quiet_run_is_not_unreliable():
    """A power cap, a governor's name, the load before and a slow first epoch are no reasons."""
    assert () == disturbances(QUIET, STEADY)


@pytest.mark.parametrize("conditions", [{}, dict.fromkeys(QUIET)])
def test_what_is_unknown_is_no_reason(conditions):
    """Null says nothing against a time."""
    assert () == disturbances(conditions, ())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"cpu_steal_share": 0.02}, None),
        ({"cpu_steal_share": 0.021}, "the hypervisor took 2.1% of the CPU time (limit 2%)"),
        ({"cpu_others_share": 0.015}, None),
        (
            {"cpu_others_share": 0.02},
            "other processes kept 0.04 of 2 processors busy beside 2 threads of the run (limit 0.03)",
        ),
        ({"cpu_pressure_share": 0.9}, None),
        ({"cpu_pressure_share": 0.1, "cpu_others_share": None}, None),
        (
            {"cpu_pressure_share": 0.11, "cpu_others_share": None},
            "work waited for a processor in 11.0% of the time (limit 10%)",
        ),
        ({"on_battery": True}, "the machine ran on its battery"),
        ({"suspended_s": 1.0}, None),
        ({"suspended_s": 1.1}, "the machine slept for 1.1 s (limit 1 s)"),
        ({"gpu_other_processes": 1}, "1 other processes were on the GPU (limit 0)"),
        ({"gpu_throttle": ("SwPowerCap", "HwThermalSlowdown")}, "the GPU lowered its clock: HwThermalSlowdown"),
        ({"gpu_throttle": ["SwThermalSlowdown"]}, "the GPU lowered its clock: SwThermalSlowdown"),
        ({"gpu_throttle": ("HwSlowdown",)}, "the GPU lowered its clock: HwSlowdown"),
        ({"gpu_throttle": ("HwPowerBrakeSlowdown",)}, "the GPU lowered its clock: HwPowerBrakeSlowdown"),
        ({"gpu_throttle": ()}, None),
        ({"gpu_clock_mhz": (1900, 1990, 2000)}, None),
        ({"gpu_clock_mhz": (1890, 1990, 2000)}, "the GPU's clock fell from 2000 to 1890 MHz, by 5.5% (limit 5%)"),
    ],
)
def test_a_time_is_unreliable_above_a_limit_and_not_at_it(changes, sentence):
    """The sentence gives figure and limit."""
    assert (() if sentence is None else (sentence,)) == disturbances(QUIET | changes, STEADY)


@pytest.mark.parametrize(("share", "reasons"), [(0.51, 0), (0.52, 1)])
def test_a_run_that_leaves_a_processor_free_lets_others_use_it(share, reasons):
    """One thread on two processors: others may use one, and 3 % of the other."""
    assert reasons == len(disturbances(QUIET | {"cpu_others_share": share}, STEADY, threads=1))


def test_threads_beyond_the_processors_leave_none_free():
    """A negative number of free processors would flag a quiet run."""
    assert () == disturbances(QUIET, STEADY, threads=8)


def test_where_others_worked_much_waiting_makes_a_time_unreliable_even_if_they_had_a_free_processor():
    """Half of the time something waited, and it was not the run's own threads alone."""
    changes = {"cpu_others_share": 0.5, "cpu_pressure_share": 0.5}

    assert ("work waited for a processor in 50.0% of the time (limit 10%)",) == disturbances(
        QUIET | changes, STEADY, threads=1
    )


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


def test_the_spread_of_epochs_is_told_with_its_limit():
    """In the words of the report."""
    sentence = "the epochs after the first took 10 s with a standard deviation of 13.0% of that (limit 10%)"

    assert (sentence,) == disturbances(QUIET, (5.0, 8.7, 8.7, 11.3, 10.0, 11.3))


def test_every_reason_is_given():
    """One does not hide another."""
    assert 2 == len(disturbances(QUIET | {"on_battery": True, "suspended_s": 99.0}, STEADY))
