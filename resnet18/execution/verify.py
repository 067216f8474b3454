"""Carry a recorded run out again and say whether it gives the same bits.

Equal bits are promised inside one fingerprint alone: the same code, data, numerics, and on an accelerator the
deterministic algorithms. Whatever differs outside it is named, and says nothing against the record.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from resnet18.execution import process
from resnet18.execution.attempt import Session, run_once
from resnet18.execution.job import DataAnswer, DataQuestion, Place
from resnet18.execution.origin import origin_of
from resnet18.execution.progress import Progress
from resnet18.records.compare import first_difference, promises_bits
from resnet18.records.record import Record
from resnet18.records.store import Store
from resnet18.spec.data import DataSource
from resnet18.spec.errors import SpecError, UnfinishedError
from resnet18.spec.identity import code_hash
from resnet18.spec.plan import Run
from resnet18.spec.resolve import Request


@dataclass(frozen=True)
class Verification:
    """What carrying a run out again says of its record."""

    exit_code: int
    """0: the same bits; 3: another fingerprint, under which none are promised; 4: other bits under the same one."""
    text: str

    @property
    def verdict(self) -> str:
        """The exit code in words."""
        return {0: "bit-equal", 3: "another fingerprint", 4: "mismatch"}[self.exit_code]


def verify(record: Record, source: DataSource, progress: Progress) -> Verification:
    """Carry a record's run out again, in a folder that is gone afterwards.

    Raises:
        SpecError: the record has no result, or is of another data set.
        IntegrityError: its ids are not those of its spec.
        EnvironmentMissingError: it needs a device that this machine lacks.
        UnfinishedError: the run did not end this time.
    """
    _check(record, source)
    answer = process.ask(_question(record, Place.of(source)))
    before = list(_differing(record, answer))
    if any(not one.startswith("code") for one in before):  # hours of training would prove nothing
        return Verification(3, _other(before))
    with TemporaryDirectory(prefix="resnet18-verify-") as folder:
        again = _carried_out(
            record,
            Session(
                request=Request(record.scale, source.label, record.spec.overrides),
                place=Place.of(source),
                origin=origin_of(answer.sha256),
                store=Store(Path(folder)),
                progress=progress,
            ),
        )
    return judged(record, again)


def judged(record: Record, again: Record) -> Verification:
    """Return what a second record of the same run says of the first."""
    if record.result_hash == again.result_hash:
        return Verification(0, f"bit-equal: result_hash {record.result_hash} came out again")
    difference = first_difference(record, again)
    if differing := list(_differing(record, _answer_of(again))):
        return Verification(3, f"{_other(differing)}\n  and other results: {difference}")
    numerics = again.fingerprint.numerics or {}
    if not promises_bits(numerics):
        return Verification(
            3, f"other results, as may be without deterministic algorithms on {numerics.get('device')}: {difference}"
        )
    return Verification(4, f"mismatch under an equal fingerprint: {difference}")


def _check(record: Record, source: DataSource) -> None:
    if record.result_hash is None:
        raise SpecError(f"record of {record.run_id}", f"ended {record.status}: it has no result that could be verified")
    if source.label != record.spec.experiment.data:
        raise SpecError(
            f"data set {source.label}",
            f"the record is of {record.spec.experiment.data}",
            next_step="name that data set with --data",
        )


def _question(record: Record, place: Place) -> DataQuestion:
    experiment = record.spec.experiment
    return DataQuestion(
        place=place,
        train_sizes=(experiment.train_images,),
        test_sizes=(experiment.test_images_epoch, experiment.test_images_last),
        execution=record.spec.execution,
    )


def _carried_out(record: Record, session: Session) -> Record:
    session.store.make_writable()
    run = Run(
        run_id=record.run_id,
        arm_id=record.arm_id,
        experiment=record.spec.experiment,
        execution=record.spec.execution,
        labels=(f"run {record.run_id}",),
        assumptions=record.spec.assumptions,
        may_run_out_of_memory=False,
    )
    progress = session.progress
    with progress.of((run,)):
        progress.start(run)
        status = run_once(run, session)
    again = session.store.load(record.run_id, 1)
    if status != "ok":
        message = "" if again.failure is None else f": {again.failure.message}"
        raise UnfinishedError(f"run {record.run_id}", f"ended {status} this time{message}")
    return again


def _differing(record: Record, answer: DataAnswer) -> Iterator[str]:
    """Yield the fields of the fingerprint in which a record and this machine differ."""
    here, there = answer.numerics or {}, record.fingerprint.numerics or {}
    own = {"data_sha256": answer.sha256, "code_hash": code_hash(record.spec.experiment, record.spec.execution), **here}
    given = {
        "data_sha256": record.fingerprint.identity.data_sha256,
        "code_hash": record.fingerprint.identity.code_hash,
        **there,
    }
    # What only a run's watch of its device tells is not known beforehand.
    for key, value in own.items():
        if value != given.get(key):
            yield f"{key}: {given.get(key)} in the record, {value} here"


def _answer_of(record: Record) -> DataAnswer:
    identity = record.fingerprint.identity
    return DataAnswer(sha256=identity.data_sha256 or "", train_images=0, numerics=record.fingerprint.numerics)


def _other(differing: list[str]) -> str:
    return "another fingerprint, under which equal bits are not promised:\n" + "\n".join(
        f"  {one}" for one in differing
    )
