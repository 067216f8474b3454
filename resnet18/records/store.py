"""The folder of records: one JSON file per attempt, written whole or not at all, never overwritten."""

import contextlib
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from resnet18.records.hashes import record_hash
from resnet18.records.record import FINAL, SCHEMA_VERSION, Record
from resnet18.spec.errors import EnvironmentMissingError, IntegrityError


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

    def make_writable(self) -> None:
        """Create the folder and prove that it can be written, before anything is trained.

        Raises:
            EnvironmentMissingError: it cannot.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.logs.mkdir(exist_ok=True)
            probe = self.folder / f".probe-{secrets.token_hex(4)}"
            probe.touch(exist_ok=False)
            probe.unlink()
        except OSError as error:
            raise EnvironmentMissingError(
                str(self.results),
                f"the results directory is not writable: {error.strerror}",
                next_step="choose another with --results DIR",
            ) from None

    def save(self, record: Record) -> Path:
        """Write a record to its own new file and return the path. The file is complete on disk when this returns.

        Raises:
            FileExistsError: this attempt has a record already.
        """
        path = self.folder / f"{record.run_id}.{record.attempt}.json"
        text = json.dumps(record.model_dump(mode="json", by_alias=True), indent=1, allow_nan=False) + "\n"
        temporary = self.folder / f".{path.name}.{secrets.token_hex(4)}"
        try:
            with temporary.open("x", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)  # unlike a rename, a link never replaces
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(self.folder)
        return path

    def save_picture(self, run_id: str, attempt: int, png: bytes) -> Path:
        """Write the picture of an attempt, whole or not at all, and return the path.

        One that is there is replaced: its attempt ended before it left a record, and the same attempt is made again.

        Raises:
            OSError: it cannot be written.
        """
        path = self.picture_path(run_id, attempt)
        temporary = self.folder / f".{path.name}.{secrets.token_hex(4)}"
        try:
            temporary.write_bytes(png)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        return path

    def picture_path(self, run_id: str, attempt: int) -> Path:
        """Return where the picture of a record's sample images is, if the attempt left one (`records.picture`)."""
        return self.folder / f"{run_id}.{attempt}.png"

    def load(self, run_id: str, attempt: int) -> Record:
        """Return one record.

        Raises:
            IntegrityError: it was changed, or is none.
        """
        return load_record(self.folder / f"{run_id}.{attempt}.json")

    def attempts(self, run_id: str) -> int:
        """Return how many attempts at a run left a record."""
        return max((_attempt(path) for path in self.folder.glob(f"{run_id}.*.json")), default=0)

    def log_path(self, run_id: str, attempt: int) -> Path:
        """Return where an attempt's output goes."""
        return self.logs / f"{run_id}.{attempt}.log"

    def read(self) -> Readings:
        """Return every record, ordered by file name, and the files that are none or were edited."""
        records, refused = [], []
        parts: dict[object, object] = {}
        for path in sorted(self.folder.glob("*.json")):
            try:
                records.append(_sharing(load_record(path), parts))
            except IntegrityError as error:
                refused.append(error)
        return Readings(tuple(records), tuple(refused))


def last_attempts(records: Iterable[Record]) -> dict[str, Record]:
    """Return the record that counts for each run id: the last attempt's."""
    last: dict[str, Record] = {}
    for record in records:
        if record.run_id not in last or record.attempt > last[record.run_id].attempt:
            last[record.run_id] = record
    return last


def is_done(record: Record, code_hash: str | None, data_sha256: str | None) -> bool:
    """Say whether a record settles its run. None for a hash means that any is accepted."""
    identity = record.fingerprint.identity
    return (
        record.status in FINAL
        and code_hash in {None, identity.code_hash}
        and data_sha256 in {None, identity.data_sha256}
    )


def seal(content: dict[str, Any]) -> Record:
    """Return the record of a JSON content, with the hash of it."""
    return Record.model_validate({**content, "record_hash": record_hash(_as_stored(content))})


def load_record(path: Path) -> Record:
    """Read one record.

    Raises:
        IntegrityError: not JSON, another schema, or changed since it was written.
    """
    try:
        content = json.loads(path.read_bytes())
        version = content["schema_version"]
        if version != SCHEMA_VERSION:
            raise IntegrityError(
                path.name,
                f"schema version {version} is not known to this version of the suite ({SCHEMA_VERSION})",
                next_step="update the suite, or move the file away",
            )
        if content["record_hash"] != record_hash(content):
            raise IntegrityError(
                path.name, "was changed after it was written", next_step="restore the file, or delete it and run again"
            )
        return Record.model_validate(content)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise IntegrityError(path.name, f"is no record: {reason}", next_step="move the file away") from None


def _sharing(record: Record, parts: dict[object, object]) -> Record:
    """Return the record with those parts that others hold too taken from `parts`: half of its memory."""
    spec = record.spec
    same = {key: parts.setdefault(getattr(spec, key), getattr(spec, key)) for key in ("execution", "assumptions")}
    nulls = parts.setdefault(tuple(record.nulls.items()), record.nulls)
    return record.model_copy(update={"spec": spec.model_copy(update=same), "nulls": nulls})


def _as_stored(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content as it reads back from disk, defaults filled in, so that the hash fits the file."""
    stub = {**content, "record_hash": "0" * 64}
    return Record.model_validate(stub).model_dump(mode="json")


def _attempt(path: Path) -> int:
    number = path.name.split(".")[1]
    return int(number) if number.isdecimal() else 0


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power loss. Where folders cannot be opened, the file's own sync must do."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
