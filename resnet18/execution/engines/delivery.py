"""A record on its way from a node to the runner, with the picture and the log that lie beside it."""

import base64
import shutil
from collections.abc import Sequence

from resnet18.execution.job import Delivery, Job
from resnet18.records import disk
from resnet18.records.content import LIMIT, file_name, parse_record
from resnet18.records.record import FINAL, Status
from resnet18.records.store import Store
from resnet18.spec.errors import EnvironmentMissingError

LOG_BYTES = 64 << 10
"""How much of a log's end travels back."""


def packed(job: Job, run: str, store: Store, notes: Sequence[str]) -> Delivery:
    """Return what the attempt left, and remove it here, save a checkpoint that the run may go on from."""
    record = disk.read(store.folder / file_name(run, job.attempt), LIMIT)
    picture, log = store.picture_path(run, job.attempt), store.log_path(run, job.attempt)
    delivery = Delivery(
        record=record.decode(),
        picture=base64.b64encode(picture.read_bytes()).decode() if picture.is_file() else None,
        log=log.read_bytes()[-LOG_BYTES:].decode(errors="replace") if log.is_file() else "",
        notes=tuple(notes),
    )
    is_final = parse_record(record, "the record").status in FINAL
    for folder in (store.results,) if is_final else (store.folder, store.logs):
        shutil.rmtree(folder, ignore_errors=True)
    return delivery


def kept(delivery: Delivery, store: Store, run: str, attempt: int) -> Status:
    """Write what came back into the store, the record last, and return its status.

    Raises:
        EnvironmentMissingError: there is no room for it.
        IntegrityError: it is no record, or that of another attempt.
    """
    try:
        if delivery.log:
            disk.replace(store.log_path(run, attempt), delivery.log.encode())
        if delivery.picture is not None:
            store.save_picture(run, attempt, base64.b64decode(delivery.picture))
        return store.keep(run, attempt, (delivery.record or "").encode()).status
    except OSError as error:
        raise EnvironmentMissingError(
            str(store.results),
            f"a record that came back cannot be kept: {error.strerror}",
            next_step="make room; the same command goes on with what is missing",
        ) from None
