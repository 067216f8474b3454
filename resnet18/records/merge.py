"""Join the records of several machines in one folder. Records are copied byte for byte, never edited."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet18.records import disk
from resnet18.records.compare import contradict, first_difference
from resnet18.records.parse import LIMIT, load_stored
from resnet18.records.record import Record
from resnet18.records.store import Store
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, SpecError

KNOWN = "the same record"


@dataclass(frozen=True)
class Merged:
    """What became of every record."""

    copied: int
    known: int
    """There already, byte for byte."""
    left_out: tuple[str, ...]
    """Runs that an earlier folder has too, and why one of them counts."""
    refused: tuple[IntegrityError, ...]
    """Files that are no records or were changed, and runs whose results contradict each other."""


def merge(folders: Sequence[Path], into: Path) -> Merged:
    """Copy the records and pictures of results folders into another; the first folder that has a run keeps it.

    A run recorded on two machines stays the first one's: its times must not be averaged with the other's. Two `ok`
    records of one run with equal numerics and different results are a conflict: neither is copied after the first.

    Raises:
        SpecError: a folder without records, or one that is merged into itself.
        EnvironmentMissingError: the target cannot be written; what is in it by then is whole.
    """
    target = Store(into)
    sources = [_readable(Store(folder), into) for folder in folders]
    target.make_writable()
    copied, known, left_out, refused = 0, 0, list[str](), list[IntegrityError]()
    files = [(source, path) for source in sources for path in sorted(source.folder.glob("*.json"))]
    for source, path in files:
        try:
            other = _take(source, target, path)
        except IntegrityError as error:
            refused.append(error)
            continue
        copied, known = copied + (other is None), known + (other == KNOWN)
        if other not in {None, KNOWN}:
            left_out.append(f"{path.name} of {source.results}: {other}")
    return Merged(copied, known, tuple(left_out), tuple(refused))


def _readable(source: Store, into: Path) -> Store:
    where = str(source.results)
    if source.results.resolve() == into.resolve():
        raise SpecError(where, "cannot be merged into itself", next_step="name another folder with --into")
    if not source.folder.is_dir():
        raise SpecError(where, "holds no records", next_step="name folders that have records/ in them")
    return source


def _take(source: Store, target: Store, path: Path) -> str | None:
    """Copy a record unless the target has the run; return what it has, as `_counterpart` does."""
    record = load_stored(path)
    other = _counterpart(target, record, path)
    if other is None:
        try:
            _copy(source, target, record, path)
        except OSError as error:
            raise EnvironmentMissingError(
                str(target.results),
                f"{path.name} cannot be copied: {error.strerror}",
                next_step="the same command goes on with what is missing",
            ) from None
    return other


def _counterpart(target: Store, record: Record, path: Path) -> str | None:
    """Return what the target has of a run: None, the same record, or why another one is kept.

    Raises:
        IntegrityError: two results of one run that must be equal and are not.
    """
    same_file = _content(target.folder / path.name)
    if same_file is not None and same_file == _content(path):
        return KNOWN
    others = [load_stored(one) for one in sorted(target.folder.glob(f"{record.run_id}.*.json"))]
    for other in others:
        if contradict(other, record):
            raise IntegrityError(
                path.name,
                f"contradicts a record of the same run on an equal machine: {first_difference(other, record)}",
                next_step="run it again; a changed machine or a defect made one of them",
            )
    if same_file is not None or _from_elsewhere(others, record):
        return "this run is recorded already, by another folder or machine"
    return None


def _from_elsewhere(others: Sequence[Record], record: Record) -> bool:
    """Say whether a final record of the run comes from another machine: attempts of one machine belong together."""
    return any(other.fingerprint.numerics != record.fingerprint.numerics and other.status == "ok" for other in others)


def _copy(source: Store, target: Store, record: Record, path: Path) -> None:
    """Copy a record, its picture first: a record without one would be taken for a run that left none."""
    content = disk.read(path, LIMIT)
    picture = _content(source.picture_path(record.run_id, record.attempt))
    if picture is not None:
        target.save_picture(record.run_id, record.attempt, picture)
    disk.write_new(target.folder / path.name, content)


def _content(path: Path) -> bytes | None:
    """Return the bytes of a file, None where there is none."""
    try:
        return disk.read(path, LIMIT)
    except FileNotFoundError:
        return None
