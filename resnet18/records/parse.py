"""From bytes to a record: whatever is no record, was changed, or is of another schema is refused."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from resnet18.records import disk
from resnet18.records.hashes import record_hash
from resnet18.records.record import SCHEMA_VERSION, Record, RecordSpec
from resnet18.spec.errors import IntegrityError
from resnet18.spec.strict import strict_json

LIMIT = 64 << 20
"""Bytes of the largest file that is read as a record; a thousand epochs take less than one mebibyte."""


def file_name(run_id: str, attempt: int) -> str:
    """Return what the file of an attempt's record is called."""
    return f"{run_id}.{attempt}.json"


def seal(content: dict[str, Any]) -> Record:
    """Return the record of a JSON content, with the hash of it."""
    return Record.model_validate({**content, "record_hash": record_hash(_as_stored(content))})


def load_record(path: Path) -> Record:
    """Read one record.

    Raises:
        IntegrityError: not JSON, another schema, or changed since it was written.
    """
    try:
        return parse_record(disk.read(path, LIMIT), path.name)
    except OSError as error:
        what, where_to_look = f"cannot be read: {error.strerror}", "look at its permissions, and at the disk"
        raise IntegrityError(path.name, what, next_step=where_to_look) from None
    except ValueError as error:  # larger than any record
        raise _no_record(path.name, error) from None


class OtherFormatError(IntegrityError):
    """A record of an older or newer format."""


def parse_record(text: bytes, name: str) -> Record:
    """Return the record that the bytes of a file hold.

    Raises:
        IntegrityError: as `load_record`; the message names the file.
    """
    try:
        content = strict_json(text)
        version = content["schema_version"]
        if version != SCHEMA_VERSION:
            raise OtherFormatError(
                name,
                f"format {version!r:.20} is not that of this suite ({SCHEMA_VERSION})",
                next_step="use the suite that made it, or move the file away",
            )
        if content["record_hash"] != record_hash(content):
            raise IntegrityError(
                name, "was changed after it was written", next_step="restore the file, or delete it and run again"
            )
        return _known_keys(content)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _no_record(name, error) from None


def _no_record(name: str, error: Exception) -> IntegrityError:
    return IntegrityError(name, f"is no record: {_reason(error)}", next_step="move the file away")


def _reason(error: Exception) -> str:
    """Say what an error says, on one line: of a value that does not fit, the first one, with its key."""
    if isinstance(error, ValidationError):
        (first, *_) = error.errors(include_url=False, include_input=False)
        return f"{'.'.join(map(str, first['loc'])) or 'record'}: {first['msg']}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def load_stored(path: Path) -> Record:
    """Read a record from a results folder, where a copy beside it would be a second measurement of nothing.

    Raises:
        IntegrityError: as `load_record`, or its file is not called by its run and attempt.
    """
    record = load_record(path)
    if path.name != (name := file_name(record.run_id, record.attempt)):
        raise IntegrityError(path.name, f"holds the record {name}", next_step="rename it, or move the copy away")
    return record


def _known_keys(content: dict[str, Any]) -> Record:
    """Return a record; keys that a later version has added are left out, except in the spec, which ids are made of."""
    return Record.model_validate({**content, "spec": RecordSpec.model_validate(content["spec"])}, extra="ignore")


def _as_stored(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content as it reads back from disk, defaults filled in, so that the hash fits the file."""
    stub = {**content, "record_hash": "0" * 64}
    return Record.model_validate(stub).model_dump(mode="json")
