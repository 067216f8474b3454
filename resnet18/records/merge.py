"""Join the records of several machines in one folder. Records are copied byte for byte, never edited."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from resnet18.records import disk
from resnet18.records.compare import contradict, first_difference
from resnet18.records.content import LIMIT, load_stored
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
    """Runs that an earlier folder has too, and why that record counts."""
    refused: tuple[IntegrityError, ...]
    """Files that are no records or were changed, and runs whose results contradict each other."""


def merge(folders: Sequence[Path], into: Path) -> Merged:
    """Copy the records and pictures of results folders into another; the copy in the first folder wins.

    Times of two machines must not be averaged. Two `ok` records of one run with equal numerics and different results
    are a conflict: neither is copied after the first.

    Raises:
        SpecError: a folder without records, or one that is merged into itself.
        EnvironmentMissingError: the target cannot be written; what is in it by then is whole.
    """
    target, sources = Store(into), [Store(folder) for folder in folders]
    for source in sources:
        if source.results.resolve() == into.resolve():
            next_step = "name another folder with --into"
            raise SpecError(str(source.results), "cannot be merged into itself", next_step=next_step)
        if not source.folder.is_dir():
            next_step = "name folders that have records/ in them"
            raise SpecError(str(source.results), "holds no records", next_step=next_step)
    target.make_writable()
    copied, known, left_out, refused = 0, 0, list[str](), list[IntegrityError]()
    files = [(store, path) for store in sources for path in sorted(store.folder.glob("*.json"))]
    for source, path in files:
        try:
            reason = _take(source, target, path)
        except IntegrityError as error:
            refused.append(error)
        except OSError as error:
            what, next_step = f"{path.name} cannot be copied: {error.strerror}", "repeat the command to copy the rest"
            raise EnvironmentMissingError(str(into), what, next_step=next_step) from None
        else:
            copied, known = copied + (reason is None), known + (reason == KNOWN)
            left_out += [f"{path.name} of {source.results}: {reason}"] if reason not in {None, KNOWN} else []
    return Merged(copied, known, tuple(left_out), tuple(refused))


def _take(source: Store, target: Store, path: Path) -> str | None:
    """Copy a record unless the target has the run; return why it was not copied.

    The picture comes first: a record without it would be taken for a run that left none.

    Raises:
        IntegrityError: it is no record, or two results of one run that must be equal are not.
        OSError: it cannot be copied.
    """
    record = load_stored(path)
    content, there = disk.read(path, LIMIT), _content(target.folder / path.name)
    if there == content:
        return KNOWN
    others = [load_stored(other) for other in sorted(target.folder.glob(f"{record.run_id}.*.json"))]
    for other in others:
        if contradict(other, record):
            what = f"contradicts a record of the same run on an equal machine: {first_difference(other, record)}"
            next_step = "run it again; a changed machine or a defect made one of them"
            raise IntegrityError(path.name, what, next_step=next_step)
    if there is not None or any(_keeps_out(other, record) for other in others):
        return "this run is recorded already, by another folder or machine"
    picture = _content(source.picture_path(record.run_id, record.attempt))
    if picture is not None:
        target.save_picture(record.run_id, record.attempt, picture)
    disk.write_new(target.folder / path.name, content)
    return None


def _keeps_out(other: Record, record: Record) -> bool:
    """Say whether a record is a result of another machine: attempts of one machine belong together."""
    return other.status == "ok" and other.fingerprint.numerics != record.fingerprint.numerics


def _content(path: Path) -> bytes | None:
    """Return the bytes of a file, None where there is none."""
    try:
        return disk.read(path, LIMIT)
    except FileNotFoundError:
        return None
