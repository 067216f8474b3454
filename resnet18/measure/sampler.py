"""A thread that reads a GPU every now and then while a run goes on. It never holds the run up, nor fails it."""

import os
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from resnet18.measure.bindings import pynvml
from resnet18.measure.nvml_device import (
    FAILURES,
    Gpu,
    Reading,
    UnreadableError,
    attempt,
    find_gpu,
    read,
    read_energy,
    reason_of,
)

OPENING_LIMIT_S = 2.0
"""How long the run waits for the first reading, which must come before its first allocation."""
CLOSING_LIMIT_S = 1.0
"""How long the run's end waits for the last reading."""
LATE = "NVML had not answered {limit:g} s after the run began"
HUNG = "NVML had not answered {limit:g} s after the run ended"


@dataclass(frozen=True)
class Tally:
    """What the readings amount to. Never changed, only replaced: its reader needs no lock, even if the thread hangs."""

    samples: int = 0
    """Readings in which the device answered anything."""
    used_peak_bytes: int | None = None
    reserved_bytes: int | None = None
    own_seen: bool = False
    """Whether the driver has listed this process."""
    own_peak_bytes: int | None = None
    other_processes: int | None = None
    """The most at once."""
    clock_events: int | None = None
    """Bits: every one that was set at some time."""
    clocks_mhz: Counter[int] = field(default_factory=Counter)
    """How many readings each clock had, those of an idle device left out: they say nothing about the work."""
    faults: Mapping[str, str] = field(default_factory=dict)
    """First reason for each field of a reading."""


@dataclass(frozen=True)
class Findings:
    """All that was learned about a device between the opening and the closing of its sampler."""

    period_s: float | None = None
    tally: Tally = field(default_factory=Tally)
    driver: str | None = None
    baseline_bytes: int | None = None
    """In use at the opening, by whomever."""
    energy_mj: int | None = None
    faults: Mapping[str, str] = field(default_factory=dict)
    """Reasons by name of a reading's field, `baseline`, `energy`, or `device` for all the rest."""


class Sampler:
    """Reads a GPU from the opening of the context to its end, in a thread that also opens NVML: any call may hang.

    Args:
        uuids: of the device, the likeliest first.
        period_s: seconds from sample to sample, more where answers are slow; what happens between them is missed.
    """

    def __init__(self, uuids: tuple[str, ...], period_s: float) -> None:
        self._uuids = uuids
        self._period_s = period_s
        self._gpu: Gpu | None = None
        self._tally = Tally()
        self._driver: str | None = None
        self._baseline: int | None = None
        self._energy_mj: int | None = None
        self._faults: dict[str, str] = {}
        self._late = self._hung = False
        self._opened, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="nvml-sampler", daemon=True)

    def __enter__(self) -> Self:
        try:
            self._thread.start()
        except RuntimeError:  # the system's limit of threads
            self._faults["device"] = "no thread could be started for NVML"
            self._opened.set()
        self._late = not self._opened.wait(OPENING_LIMIT_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(CLOSING_LIMIT_S)
        self._hung = self._thread.is_alive()

    def step(self) -> None:
        """Take one sample."""
        if self._gpu is not None:
            self._tally = add(self._tally, read(self._gpu), os.getpid())

    def findings(self) -> Findings:
        """Return what was found, once the context has been left."""
        silences = dict.fromkeys(("energy", "device"), HUNG.format(limit=CLOSING_LIMIT_S)) if self._hung else {}
        if self._late:  # what was read later is no state before the run
            silences |= dict.fromkeys(("baseline", "energy", "device"), LATE.format(limit=OPENING_LIMIT_S))
        return Findings(
            period_s=self._period_s,
            tally=self._tally,
            driver=self._driver,
            baseline_bytes=None if self._late else self._baseline,
            energy_mj=None if self._late else self._energy_mj,
            faults={**silences, **self._tally.faults, **self._faults},
        )

    def _work(self) -> None:
        try:
            pynvml.nvmlInit()
        except FAILURES as error:
            self._faults["device"] = reason_of(error)
            self._opened.set()
            return
        try:
            self._sample_until_stopped()
        finally:
            self._opened.set()
            attempt("shutdown", {}, pynvml.nvmlShutdown)

    def _sample_until_stopped(self) -> None:
        self._driver = attempt("driver", self._faults, lambda: str(pynvml.nvmlSystemGetDriverVersion()))
        try:
            self._gpu = gpu = find_gpu(self._uuids)
        except UnreadableError as error:
            self._faults["device"] = str(error)
            return
        before = read(gpu)
        self._baseline = before.used_bytes
        self._tally = add(self._tally, before, os.getpid(), at_work=False)
        start_mj = attempt("energy", self._faults, lambda: read_energy(gpu))
        self._opened.set()
        took_s = 0.0
        # At least half a period of rest: a driver that is slow to answer is not asked without end.
        while not self._stop.wait(max(self._period_s - took_s, self._period_s / 2)):
            start_s = time.monotonic()
            self.step()
            took_s = time.monotonic() - start_s
        self.step()
        end_mj = attempt("energy", self._faults, lambda: read_energy(gpu))
        if start_mj is not None and end_mj is not None:
            self._energy_mj = end_mj - start_mj


def add(tally: Tally, reading: Reading, own_pid: int, *, at_work: bool = True) -> Tally:
    """Return the tally with one more reading.

    Args:
        tally: so far.
        reading: what the device has just answered.
        own_pid: number of this process.
        at_work: the run has begun; clocks and their events of an earlier time are not its own.
    """
    compute, graphics = reading.compute or {}, reading.graphics or {}
    lists_known = reading.compute is not None and reading.graphics is not None
    others = len((compute.keys() | graphics.keys()) - {own_pid}) if lists_known else None
    events = reading.clock_events if at_work else None
    idle = bool((reading.clock_events or 0) & pynvml.nvmlClocksEventReasonGpuIdle)
    clocks = [reading.clock_mhz] if at_work and not idle and reading.clock_mhz is not None else []
    answers = (reading.used_bytes, reading.compute, reading.graphics, reading.clock_events, reading.clock_mhz)
    return Tally(
        samples=tally.samples + any(answer is not None for answer in answers),
        used_peak_bytes=_larger(tally.used_peak_bytes, reading.used_bytes),
        reserved_bytes=_larger(tally.reserved_bytes, reading.reserved_bytes),
        own_seen=tally.own_seen or own_pid in compute or own_pid in graphics,
        own_peak_bytes=_larger(tally.own_peak_bytes, _larger(compute.get(own_pid), graphics.get(own_pid))),
        other_processes=_larger(tally.other_processes, others),
        clock_events=tally.clock_events if events is None else (tally.clock_events or 0) | events,
        clocks_mhz=tally.clocks_mhz + Counter(clocks),
        faults={**reading.faults, **tally.faults},
    )


def _larger(one: int | None, other: int | None) -> int | None:
    return max((value for value in (one, other) if value is not None), default=None)
