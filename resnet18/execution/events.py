"""What a program sees while runs go on: one JSON object a line, flat, with what happened under `event`."""

import json
from pathlib import Path
from typing import IO

from rich.console import Console

from resnet18.execution.job import EpochDone
from resnet18.execution.progress import Progress
from resnet18.records.record import Status
from resnet18.spec.plan import Run


class Events(Progress):
    """Progress as events: `epoch`, `run` when one has ended, `note`. Others are sent with `send`."""

    def __init__(self, file: IO[str]) -> None:
        super().__init__(Console(file=file), is_alone=False)
        self._file = file

    def send(self, event: str, **values: object) -> None:
        """Write one event, whole, and at once."""
        self._file.write(json.dumps({"event": event, **values}) + "\n")
        self._file.flush()

    def epoch(self, epoch: EpochDone) -> None:
        """An epoch of the run has ended."""
        values = epoch.model_dump()
        self.send("epoch", **_of(self._current), **values, epochs=self._current.experiment.epochs)

    def note(self, text: str) -> None:
        """Something about the run that the user must know."""
        self.send("note", **_of(self._current), says=text)

    def say(self, text: str) -> None:
        """Something that concerns more than one run."""
        self.send("note", run_id=None, cases=None, seed=None, says=text)

    def came_back(self, run: Run, status: Status | None, text: str) -> None:
        """A run that went on elsewhere, beside others, has ended."""
        self.send("run", **_of(run), status=status, says=text.lstrip(":, ") or None)

    def skip(self, text: str) -> None:
        """The run is not carried out here, for this reason; an empty one is not worth a line."""
        if text:
            self.send("run", **_of(self._current), status=None, says=text)

    def end(self, status: Status, log: Path) -> None:
        """The run has ended; the log goes where it says nothing."""
        super().end(status, log)
        self.send("run", **_of(self._current), status=status, says=None if status == "ok" else f"see {log}")

    def _print(self, text: str) -> None:
        """Say nothing in words."""


def _of(run: Run) -> dict[str, object]:
    return {"run_id": run.run_id, "cases": ", ".join(run.labels), "seed": run.experiment.seed}
