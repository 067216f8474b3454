"""Merge results folders: records and pictures are copied, and what contradicts them is refused."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from resnet18.records import disk
from resnet18.records.content import load_record, parse_record
from resnet18.records.store import Store, contradict, first_difference, machine_model
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError, SpecError, disk_errors


def merge(folders: Sequence[Path], into: Path) -> dict[str, list[str]]:
    """Copy records and pictures of results folders into another; the first folder's copy of a run wins.

    Returns the names of the files by what became of them: `copied`, `known` (there already, byte for byte), `left_out`
    (the target has the run, of another folder or machine), and under `refused` the errors instead.
    Raises SpecError at a folder without records, EnvironmentMissingError if the target cannot be written.
    """
    target, sources = Store(into), [Store(folder) for folder in folders]
    for source in sources:
        is_target = source.results.resolve() == into.resolve()
        if is_target or not source.folder.is_dir():
            what = "cannot be merged into itself" if is_target else "holds no records"
            raise SpecError(str(source.results), what, next_step="name other folders that have records/ in them")
    target.make_writable()
    found: dict[str, list[str]] = {word: [] for word in ("copied", "known", "left_out", "refused")}
    for source, path in [(store, path) for store in sources for path in sorted(store.folder.glob("*.json"))]:
        what, next_step = f"{path.name} cannot be copied", "repeat the command to copy the rest"
        try:
            with disk_errors(EnvironmentMissingError, str(into), what, next_step):
                found[_take(path, target)].append(f"{path.name} of {source.results}")
        except IntegrityError as error:
            found["refused"].append(str(error))
    return found


def _take(path: Path, target: Store) -> str:
    """Copy a record unless the target has the run; say what became of it: `copied`, `known` or `left_out`."""
    record, content, there = load_record(path), disk.read(path), _content(target.folder / path.name)
    if there == content:
        return "known"
    others = [] if there is None else [parse_record(there, path.name)]
    for other in sorted(target.folder.glob(f"{record.run_id}.*.json")):
        with suppress(IntegrityError):  # a damaged one keeps no other out
            others.append(load_record(other))
    if rival := next((other for other in others if contradict(other, record)), None):
        what = f"contradicts a record of the same run on an equal machine: {first_difference(rival, record)}"
        next_step = "run it again; a changed machine or a defect made one of them"
        raise IntegrityError(path.name, what, next_step=next_step)
    mine, done = record.fingerprint.numerics, [other for other in others if other.status == "ok"]
    is_known = machine_model(mine) is not None
    if there or any(not is_known or other.fingerprint.numerics != mine for other in done):
        return "left_out"
    # The picture comes first: a record without it would be taken for a run that left none.
    if picture := _content(path.with_suffix(".png")):
        disk.replace(target.picture_path(record.run_id, record.attempt), picture)
    disk.write_new(target.folder / path.name, content)
    return "copied"


def _content(path: Path) -> bytes | None:
    with suppress(FileNotFoundError):
        return disk.read(path)
    return None
