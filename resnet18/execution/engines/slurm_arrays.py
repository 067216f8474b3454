"""Which runs were submitted at once: written beside the records, so that the next command finds them in the queue."""

from pathlib import Path

from resnet18.execution.engines import slurm_queue
from resnet18.records import disk
from resnet18.spec.strict import Items, Model


class Array(Model):
    """What was submitted at once."""

    name: str
    run_ids: Items[str]


def left_over(folder: Path) -> dict[str, Array]:
    """Return the array of each run that earlier commands submitted and that has not ended; forget the others.

    Raises:
        EnvironmentMissingError: Slurm does not answer.
    """
    files = {file: Array.model_validate_json(disk.read(file, 1 << 24)) for file in folder.glob("*/array.json")}
    tasks = slurm_queue.queued([array.name for array in files.values()])
    alive = [task for task in tasks if task.state != "CG"]  # what is completing has left its record
    for file, array in files.items():
        if array.name not in {task.array for task in alive}:
            file.unlink()
    by_name = {array.name: array for array in files.values()}
    return {by_name[task.array].run_ids[task.index]: by_name[task.array] for task in alive}
