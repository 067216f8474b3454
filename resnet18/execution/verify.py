"""Carry a recorded run out again and say whether it gives the same bits.

Equal bits are promised inside one fingerprint alone: the same code, data, numerics, and on an accelerator the
deterministic algorithms. Whatever differs outside it is named, and says nothing against the record.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from resnet18.data.source import open_data
from resnet18.execution.attempt import carry_out
from resnet18.execution.engine import DEFAULT
from resnet18.execution.local_engine import LocalEngine
from resnet18.execution.progress import Progress
from resnet18.execution.runner import make_jobs, shortened
from resnet18.records.content import first_difference, promises_bits
from resnet18.records.record import Record
from resnet18.records.store import Store
from resnet18.spec.data import DataSource
from resnet18.spec.errors import SpecError, UnfinishedError
from resnet18.spec.identity import code_hash
from resnet18.spec.plan import Run
from resnet18.spec.resolve import Request


class Verification(NamedTuple):
    """What carrying a run out again says of its record."""

    exit_code: int
    """0: the same bits; 3: another fingerprint, under which none are promised; 4: other bits under the same one."""
    text: str


def verify(record: Record, source: DataSource, progress: Progress) -> Verification:
    """Carry a record's run out again, in a folder that is gone afterwards.

    Raises:
        SpecError: the record has no result, or is of another data set.
        EnvironmentMissingError: the data set is missing.
        UnfinishedError: the run did not end this time.
    """
    experiment, execution = record.spec.experiment, record.spec.execution
    if record.result_hash is None:
        raise SpecError(f"record of {record.run_id}", f"ended {record.status}: it has no result that could be verified")
    if source.label != experiment.data:
        next_step = "name that data set with --data"
        raise SpecError(f"data set {source.label}", f"the record is of {experiment.data}", next_step=next_step)
    run = Run(
        run_id=record.run_id,
        arm_id=record.arm_id,
        experiment=experiment,
        execution=execution,
        labels=(f"run {record.run_id}",),
        assumptions=record.spec.assumptions,
        may_run_out_of_memory=False,
    )
    request = Request(record.scale, source.label, record.spec.overrides)
    data_sha256 = open_data(source, verify=True).sha256
    with TemporaryDirectory(prefix="resnet18-verify-") as folder, progress.of((run,)):
        store = Store(Path(folder))
        store.make_writable()
        job, trial = make_jobs([run, shortened(run, 2, 1)], request, source, data_sha256, store, DEFAULT)
        carry_out(trial, lambda _: None)
        numerics = _ended_ok(store.read().records[0]).fingerprint.numerics or {}
        differing = _differing(record, data_sha256, numerics)
        if set(differing) - {"code_hash", "driver"}:  # hours of training would prove nothing
            return Verification(3, _other_fingerprint(differing))
        LocalEngine().carry_out([job], progress)
        return judged(record, _ended_ok(store.load(record.run_id, 1)))


def _ended_ok(record: Record) -> Record:
    if record.status != "ok":
        message = "" if record.failure is None else f": {record.failure.message}"
        raise UnfinishedError(f"run {record.run_id}", f"ended {record.status} this time{message}")
    return record


def judged(record: Record, again: Record) -> Verification:
    """Return what a second record of the same run says of the first."""
    if record.result_hash == again.result_hash:
        return Verification(0, f"bit-equal: result_hash {record.result_hash} came out again")
    difference, numerics = first_difference(record, again), again.fingerprint.numerics or {}
    if differing := _differing(record, again.fingerprint.identity.data_sha256, numerics):
        return Verification(3, f"{_other_fingerprint(differing)}\n  and other results: {difference}")
    if not promises_bits(numerics):
        words = "other results, as may be without deterministic algorithms on"
        return Verification(3, f"{words} {numerics.get('device')}: {difference}")
    return Verification(4, f"mismatch under an equal fingerprint: {difference}")


def _differing(
    record: Record, data_sha256: str | None, numerics: Mapping[str, object]
) -> dict[str, tuple[object, object]]:
    """Return the fields of the fingerprint in which a record and this machine differ: there, and here."""
    identity, code = record.fingerprint.identity, code_hash(record.spec.experiment, record.spec.execution)
    there = {
        **(record.fingerprint.numerics or {}),
        "data_sha256": identity.data_sha256,
        "code_hash": identity.code_hash,
    }
    here = {"data_sha256": data_sha256, "code_hash": code, **numerics}
    return {key: (there.get(key), value) for key, value in here.items() if value != there.get(key)}


def _other_fingerprint(differing: Mapping[str, tuple[object, object]]) -> str:
    lines = [f"  {key}: {there} in the record, {here} here" for key, (there, here) in differing.items()]
    return "\n".join(["another fingerprint, under which equal bits are not promised:", *lines])
