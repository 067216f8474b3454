"""Two hashes of a record: `result_hash` covers results only, `record_hash` everything."""

from typing import Any

from resnet18.records.record import Epoch, Score, Summary
from resnet18.spec.identity import digest


def result_hash(epochs: tuple[Epoch, ...], confusion: tuple[tuple[int, ...], ...], summary: Summary) -> str:
    """Return the SHA-256 of what was learned: no time, memory, host or date enters it.

    Equal experiments under equal numerics give equal result hashes, whichever engine ran them.
    """
    return digest(
        {
            "epochs": [
                [epoch.epoch, epoch.steps, *map(_exact, (epoch.train, epoch.as_published, epoch.clean))]
                for epoch in epochs
            ],
            "confusion": confusion,
            "summary": summary.model_dump(),
        }
    )


def record_hash(content: dict[str, Any]) -> str:
    """Return the SHA-256 of a record's JSON content, its own `record_hash` left out."""
    return digest({key: value for key, value in content.items() if key != "record_hash"})


def _exact(score: Score) -> list[str | int]:
    """Return a score with its loss as hexadecimal digits, so that the last bit counts."""
    return [score.loss.hex(), score.correct, score.images]
