"""The folder of records: one JSON file per attempt, whole or not there, never overwritten; which of them conflict."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path

from resnet18.records import disk
from resnet18.records.content import file_name, load_record, parse_record
from resnet18.records.record import FINAL, MOST_ATTEMPTS, Record, difference
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, disk_errors
from resnet18.spec.identity import canonical_json

DIGITS, BELIEVED = len(str(MOST_ATTEMPTS)), 1_000
"""Of the number of an attempt in a file's name: how long it may be, and up to which it is not looked into."""
MADE_BY = "Made by `resnet18 report` from the records beside it."
"""How every file of a report begins, as a comment; the web page after its document type."""


@dataclass(frozen=True)
class Readings:
    """What a folder of records holds."""

    records: tuple[Record, ...]
    refused: tuple[IntegrityError, ...]  # files that cannot be used, each with the reason


class Store:
    """Records under `<results>/records/`, each with a picture beside it where the data may be shown."""

    def __init__(self, results: Path) -> None:
        self.results, self.folder, self.logs = results, results / "records", results / "logs"

    def make_writable(self, room_bytes: int = 0) -> None:
        """Create the folders, remove what dead writers left, and prove that there is room for so many bytes.

        Raises EnvironmentMissingError if there is not, and IntegrityError at a symbolic link in place of a folder
        inside, and at a lock, a log or a checkpoint that is no regular file.
        """
        inside = [self.results / name for name in ("records", "checkpoints", "figures")]
        for name in ("locks", "logs", "checkpoints"):
            disk.check_files_of(self.results / name)
        what, next_step = "the results directory is not writable", "choose another with --results DIR"
        with disk_errors(EnvironmentMissingError, str(self.results), what, next_step):
            disk.make_folder(self.folder)
            disk.make_folder(self.logs)
            for folder in (self.results, *(path for path in inside if not path.is_symlink())):
                disk.sweep(folder)
            probe = self.folder / ".probe"
            disk.replace(probe, bytes(room_bytes))
            probe.unlink(missing_ok=True)  # another runner's, which is as good

    def check_pages(self) -> None:
        """Raise a SuiteError where a report that is written later would be refused."""
        for name in ("README.md", "report.html"):
            disk.check_made(self.results / name, MADE_BY)
        disk.check_plain(self.results / "verdicts.json")
        for name in ("figures", "parts"):
            disk.check_files_of(self.results / name)

    def save(self, record: Record) -> Path:
        """Write a record to its own new file, complete on disk when this returns; FileExistsError if there is one."""
        path = self.folder / file_name(record.run_id, record.attempt)
        disk.write_new(path, f"{json.dumps(record.model_dump(mode='json'), indent=1, allow_nan=False)}\n".encode())
        return path

    def keep(self, run_id: str, attempt: int, content: bytes) -> Record:
        """Write a record that was made elsewhere, or IntegrityError; one that is there stays, and is returned."""
        path = self.folder / file_name(run_id, attempt)
        record = parse_record(content, path.name)
        try:
            disk.write_new(path, content)
        except FileExistsError:
            return self.load(run_id, attempt)
        return record

    def picture_path(self, run_id: str, attempt: int) -> Path:
        """Return where the picture of a record's sample images is, if the attempt left one (`records.checkpoints`)."""
        return self.folder / f"{run_id}.{attempt}.png"

    def attempts(self, run_id: str) -> int:
        """Return the number of the last attempt at a run that left a record, 0 where none did.

        A high number counts only if its file holds that record: any file can be called so.
        """
        parts = (path.name.split(".")[1] for path in self.folder.glob(f"{run_id}.*.json"))
        numbers = (int(part) for part in parts if part.isascii() and part.isdecimal() and len(part) <= DIGITS)
        for number in sorted(numbers, reverse=True):
            with suppress(IntegrityError):
                return number if number <= BELIEVED else self.load(run_id, number).attempt
        return 0

    def next_attempt(self, run_id: str) -> int:
        """Return the number of the next attempt, of which no file is there; IntegrityError where none is left."""
        number = self.attempts(run_id) + 1
        while os.path.lexists(self.folder / file_name(run_id, number)):
            number += 1
        if number > MOST_ATTEMPTS:
            what = "holds the last number that an attempt can have"
            raise IntegrityError(file_name(run_id, MOST_ATTEMPTS), what, next_step="move the file away")
        return number

    def count(self) -> int:
        """Return how many files of records there are."""
        return sum(1 for _ in self.folder.glob("*.json"))

    def load(self, run_id: str, attempt: int) -> Record:
        """Return one record; IntegrityError if it was changed, or is none."""
        return load_record(self.folder / file_name(run_id, attempt))

    def read(self) -> Readings:
        """Return every record, ordered by file name, and the files that are none, were edited or contradict others."""
        records, refused = list[Record](), list[IntegrityError]()
        for path in sorted(self.folder.glob("*.json")):
            try:
                records.append(load_record(path))
            except IntegrityError as error:
                refused.append(error)
        unusable = set[int]()
        for group in _conflicts(records):
            first, second = group[0], next(other for other in group if other.result_hash != group[0].result_hash)
            names = [file_name(record.run_id, record.attempt) for record in (first, second)]
            others = f" ({len(group)} attempts)" if len(group) > 2 else ""
            what = f"contradict each other{others}, and neither is used: {first_difference(first, second)}"
            next_step = f"`resnet18 verify records/{names[1]}` says which is right; move the other away"
            refused.append(IntegrityError(" and ".join(names), what, next_step=next_step))
            unusable |= {id(record) for record in group}
        return Readings(tuple(record for record in records if id(record) not in unusable), tuple(refused))


def _conflicts(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield groups of records that contradict each other; a thousand attempts take no longer than their number."""
    groups = dict[object, list[Record]]()
    for record in records:
        numerics = record.fingerprint.numerics
        if record.status == "ok" and promises_bits(numerics):
            groups.setdefault((origin(record), canonical_json(numerics)), []).append(record)
    yield from (group for group in groups.values() if len({record.result_hash for record in group}) > 1)


def is_done(record: Record | None, code_hash: str | None, data_sha256: str | None = None) -> bool:
    """Say whether a run is done by its last record, if it has one. None for a hash means that any is accepted."""
    if record is None or record.status not in FINAL:
        return False
    identity = record.fingerprint.identity
    return code_hash in {None, identity.code_hash} and data_sha256 in {None, identity.data_sha256}


def last_attempts(records: Iterable[Record]) -> dict[str, Record]:
    """Return the record that counts for each run: the last, or a final one of its code and data if it was cut short."""
    last, final = dict[str, Record](), dict[tuple[str, str, str | None], Record]()
    for record in sorted(records, key=attrgetter("attempt")):
        last[record.run_id] = record
        if record.status in FINAL:
            final[origin(record)] = record
    return {run_id: final.get(origin(record), record) for run_id, record in last.items()}


def differ_in_code(records: Iterable[Record]) -> bool:
    """Say whether records were made by several versions of the code: all of it for one arm, else network and path."""
    hashes = dict[tuple[str, ...], set[str]]()
    for record in records:
        identity, spec = record.fingerprint.identity, record.spec
        hashes.setdefault((record.arm_id,), set()).add(identity.code_hash)
        hashes.setdefault((spec.experiment.model, spec.execution.path), set()).add(identity.shared_code_hash)
    return any(len(found) > 1 for found in hashes.values())


def promises_bits(numerics: Mapping[str, object] | None) -> bool:
    """Say whether equal numerics promise equal bits: of a known machine, and by deterministic algorithms on a GPU."""
    found = numerics or {}
    return machine_model(found) is not None and (
        found.get("device", "cpu") == "cpu" or bool(found.get("deterministic"))
    )


def machine_model(numerics: Mapping[str, object] | None) -> str | None:
    """Return which GPU or processor computed; None where that is unknown: two that are unknown need not be equal."""
    found = numerics or {}
    is_gpu = "gpu_model" in found or found.get("device") in {"cuda", "xpu"}
    model = str(found.get("gpu_model" if is_gpu else "cpu_model", "")).strip()
    return None if model.lower() in {"", "unknown", "none"} else model


def origin(record: Record) -> tuple[str, str, str | None]:
    """Return the run, and the code and data that it was made with."""
    identity = record.fingerprint.identity
    return record.run_id, identity.code_hash, identity.data_sha256


def contradict(first: Record, second: Record) -> bool:
    """Say whether two records of one run, of the same code, data and numerics, have results that may not differ."""
    numerics = first.fingerprint.numerics
    are_alike = origin(first) == origin(second) and numerics == second.fingerprint.numerics
    may_not_differ = first.status == second.status == "ok" and promises_bits(numerics)
    return are_alike and may_not_differ and first.result_hash != second.result_hash


def first_difference(first: Record, second: Record) -> str | None:
    """Return the first value in which the results of two records of one run differ; None where none does."""
    return difference(_results(first), _results(second))


def _results(record: Record) -> dict[str, object]:
    """Return what `result_hash` covers, epochs and classes by their number."""
    covered = ("steps", "train", "as_published", "clean")
    return {
        "epochs": len(record.epochs),
        "epoch": {epoch.epoch: {key: asdict(epoch)[key] for key in covered} for epoch in record.epochs},
        "confusion": dict(enumerate(record.confusion or ())),
        "summary": record.summary.model_dump() if record.summary else {},
        "result_hash": record.result_hash,
    }
