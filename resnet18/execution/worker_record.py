"""What a training gave, under the record's keys."""

from dataclasses import asdict
from typing import Any

from resnet18.execution.job import EpochDone
from resnet18.records.content import result_hash
from resnet18.records.record import Epoch, Memory, Score, Summary
from resnet18.training.results import Conclusion, EpochResult, Tally


def epoch_entry(result: EpochResult) -> dict[str, Any]:
    """Return the record's entry of an epoch."""
    seconds: dict[str, Any] = {"statistics_s": None, **result.seconds}
    entry = Epoch(
        epoch=result.epoch,
        learning_rate=result.learning_rate,
        steps=result.steps,
        train=_score(result.train),
        as_published=_score(result.as_published),
        clean=_score(result.clean),
        **seconds,
    )
    return asdict(entry)


def _score(tally: Tally) -> Score:
    return Score(loss=tally.loss_sum / tally.images, correct=tally.correct, images=tally.images)


def add_seconds(facts: dict[str, Any], seconds: dict[str, float]) -> None:
    """Add seconds by scope to the record's `time`."""
    time = facts.setdefault("time", {})
    for scope, value in seconds.items():
        time[scope] = time.get(scope, 0.0) + value


def forget_costs(facts: dict[str, Any], reasons: dict[str, str]) -> None:
    """Leave out peaks and energy of a run that was resumed: this process has not seen all of it."""
    if "resumed" in facts["flags"]:
        facts["memory"], facts["energy_j"] = {}, None
        keys = ("energy_j", *(f"memory.{key}" for key in Memory.model_fields))
        reasons.update(dict.fromkeys(keys, "the run was resumed: this process did not see all of it"))


def epoch_done(entry: dict[str, Any]) -> EpochDone:
    """Return what the user is told of an epoch, given its entry."""
    epoch = Epoch(**entry)
    return EpochDone(
        epoch=epoch.epoch,
        train_loss=epoch.train.loss,
        train_accuracy=epoch.train.accuracy,
        test_accuracy=epoch.as_published.accuracy,
        seconds=epoch.train_s + (epoch.statistics_s or 0) + epoch.eval_as_published_s + epoch.eval_clean_s,
    )


def conclusion(end: Conclusion, epochs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what is known only at the end: confusion, samples, digests and the result hash."""
    summary = Summary(parameters_sha256=end.parameters_sha256, predictions_sha256=end.predictions_sha256)
    return {
        "confusion": end.confusion,
        "samples": [{"index": index, "label": label, "prediction": guess} for index, label, guess in end.samples],
        "summary": summary.model_dump(),
        "result_hash": result_hash(tuple(Epoch(**epoch) for epoch in epochs), end.confusion, summary),
    }


def phase(facts: dict[str, Any]) -> str:
    """Say how far the attempt had come."""
    if "epochs" not in facts:
        return "prepare"
    return f"after {len(facts['epochs'])} epochs"
