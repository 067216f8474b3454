"""The folder of records: one JSON file per attempt, written whole or not at all, never overwritten."""

import gc
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from resnet18.records import disk
from resnet18.records.compare import conflicts, first_difference
from resnet18.records.content import OtherFormatError, as_json, file_name, load_stored, parse_record
from resnet18.records.record import FINAL, SCHEMA_VERSION, Record
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError

WRITTEN = ("records", "checkpoints", "figures")
"""Folders of results that hold files written whole, and temporary ones where the writing was cut short."""


@dataclass(frozen=True)
class Readings:
    """What a folder of records holds."""

    records: tuple[Record, ...]
    refused: tuple[IntegrityError, ...]
    """Files that cannot be used, each with the reason."""


class Store:
    """Records under `<results>/records/`, each with a picture beside it where the data may be shown."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.folder = results / "records"
        self.logs = results / "logs"

    def make_writable(self, room_bytes: int = 0) -> None:
        """Create the folders, remove what dead writers left, and prove that files can be made, before any training.

        Args:
            room_bytes: size of a file that there must be room for.

        Raises:
            EnvironmentMissingError: they cannot.
            IntegrityError: a folder inside is a symbolic link.
        """
        try:
            for folder in (self.folder, self.logs):
                disk.make_folder(folder)
            inside = (self.results / name for name in WRITTEN)
            for folder in (self.results, *(path for path in inside if not path.is_symlink())):
                disk.sweep(folder)
            probe = self.folder / ".probe"
            disk.replace(probe, bytes(room_bytes))
            probe.unlink(missing_ok=True)  # another runner's, which is as good
        except OSError as error:
            what = f"the results directory is not writable: {error.strerror}"
            next_step = "choose another with --results DIR"
            raise EnvironmentMissingError(str(self.results), what, next_step=next_step) from None

    def save(self, record: Record) -> Path:
        """Write a record to its own new file and return the path. The file is complete on disk when this returns.

        Raises:
            FileExistsError: this attempt has a record already.
            OSError: it cannot be written; nothing is left of it.
        """
        path = self.folder / file_name(record.run_id, record.attempt)
        disk.write_new(path, as_json(record))
        return path

    def keep(self, run_id: str, attempt: int, content: bytes) -> Record:
        """Write a record that was made elsewhere, byte for byte, and return it.

        One that is there already stays, and counts: the same attempt was made twice where an answer was lost.

        Raises:
            IntegrityError: it is no record, or that of another attempt.
            OSError: it cannot be written; nothing is left of it.
        """
        name = file_name(run_id, attempt)
        record = parse_record(content, name)
        if name != (own := file_name(record.run_id, record.attempt)):
            raise IntegrityError(name, f"holds the record {own}")
        try:
            disk.write_new(self.folder / name, content)
        except FileExistsError:
            return self.load(run_id, attempt)
        return record

    def save_picture(self, run_id: str, attempt: int, png: bytes) -> Path:
        """Write the picture of an attempt, whole or not at all, and return the path.

        One that is there is replaced: its attempt ended before it left a record, and the same attempt is made again.

        Raises:
            OSError: it cannot be written.
        """
        path = self.picture_path(run_id, attempt)
        disk.replace(path, png)
        return path

    def picture_path(self, run_id: str, attempt: int) -> Path:
        """Return where the picture of a record's sample images is, if the attempt left one (`records.picture`)."""
        return self.folder / f"{run_id}.{attempt}.png"

    def log_path(self, run_id: str, attempt: int) -> Path:
        """Return where an attempt's output goes."""
        return self.logs / f"{run_id}.{attempt}.log"

    def attempts(self, run_id: str) -> int:
        """Return how many attempts at a run left a record."""
        numbers = (path.name.split(".")[1] for path in self.folder.glob(f"{run_id}.*.json"))
        return max((int(number) for number in numbers if number.isdecimal()), default=0)

    def load(self, run_id: str, attempt: int) -> Record:
        """Return one record.

        Raises:
            IntegrityError: it was changed, or is none.
        """
        return load_stored(self.folder / file_name(run_id, attempt))

    def done(self, run_id: str, code_hash: str | None, data_sha256: str | None) -> Record | None:
        """Return the last attempt's record where the run is done by it (`is_done`); None where one is damaged."""
        try:
            attempt = self.attempts(run_id)
            record = self.load(run_id, attempt) if attempt else None
        except IntegrityError:
            return None
        return record if is_done(record, code_hash, data_sha256) else None

    def read(self) -> Readings:
        """Return every record, ordered by file name, and the files that cannot be used.

        Those are no records, were edited, or contradict each other.
        """
        records, refused = list[Record](), list[IntegrityError]()
        parts: dict[object, object] = {}
        was_enabled = gc.isenabled()
        gc.disable()  # looking for cycles in values that stay takes a quarter of the time of 10,000
        try:
            for path in sorted(self.folder.glob("*.json")):
                try:
                    records.append(_sharing(load_stored(path), parts))
                except IntegrityError as error:
                    refused.append(error)
        finally:
            if was_enabled:
                gc.enable()
        pairs = conflicts(records)
        refused = [*_with_one_for_other_formats(refused), *(_conflict(*pair) for pair in pairs)]
        unusable = {id(record) for pair in pairs for record in pair}
        return Readings(tuple(record for record in records if id(record) not in unusable), tuple(refused))


def is_done(record: Record | None, code_hash: str | None, data_sha256: str | None = None) -> bool:
    """Say whether a run is done by its last record, if it has one. None for a hash means that any is accepted."""
    if record is None or record.status not in FINAL:
        return False
    identity = record.fingerprint.identity
    return code_hash in {None, identity.code_hash} and data_sha256 in {None, identity.data_sha256}


def last_attempts(records: Iterable[Record]) -> dict[str, Record]:
    """Return the record that counts for each run id: the last attempt's.

    An attempt that was cut short does not hide a final one of the same code and data: what was known stays known.
    """
    last, final = dict[str, Record](), dict[tuple[str, str, str | None], Record]()
    for record in sorted(records, key=attrgetter("attempt")):
        last[record.run_id] = record
        if record.status in FINAL:
            final[_origin(record)] = record
    return {run_id: final.get(_origin(record), record) for run_id, record in last.items()}


def _origin(record: Record) -> tuple[str, str, str | None]:
    identity = record.fingerprint.identity
    return record.run_id, identity.code_hash, identity.data_sha256


def _with_one_for_other_formats(refused: list[IntegrityError]) -> list[IntegrityError]:
    """Return the errors, with a single one for all records of another format."""
    others = [error for error in refused if isinstance(error, OtherFormatError)]
    if len(others) < 2:
        return refused
    together = OtherFormatError(
        f"records/ ({others[0].where} and {len(others) - 1} more)",
        f"{len(others)} records have another format than this suite's ({SCHEMA_VERSION})",
        next_step="use the suite that made them, or move them to a folder of their own",
    )
    return [*(error for error in refused if error not in others), together]


def _conflict(first: Record, second: Record) -> IntegrityError:
    names = [file_name(record.run_id, record.attempt) for record in (first, second)]
    return IntegrityError(
        " and ".join(names),
        f"contradict each other, and neither is used: {first_difference(first, second)}",
        next_step=f"`resnet18 verify records/{names[1]}` says which is right; move the other away",
    )


def _sharing(record: Record, parts: dict[object, object]) -> Record:
    """Return the record with those parts that others hold too taken from `parts`: half of its memory."""
    spec = record.spec
    same = {key: parts.setdefault(getattr(spec, key), getattr(spec, key)) for key in ("execution", "assumptions")}
    nulls = parts.setdefault(tuple(record.nulls.items()), record.nulls)
    return record.model_copy(update={"spec": spec.model_copy(update=same), "nulls": nulls})
