"""Two records of one run beside each other: do they contradict, and where do their results first differ?"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations, zip_longest

from resnet18.records.record import Epoch, Record, Score

PROTOCOLS = {"train": "training", "as_published": "test as published", "clean": "test clean"}


def differ_in_code(groups: Iterable[Iterable[Record]]) -> bool:
    """Say whether records that are to be compared were made by several versions of the code.

    Args:
        groups: the records of one spec each, seeds apart. Within a group all of the code must be the same; between
            groups, what their specs share: network and path.
    """
    shared = dict[tuple[str, str], str]()
    for group in groups:
        records = list(group)
        if len({record.fingerprint.identity.code_hash for record in records}) > 1:
            return True
        for record in records:
            kind = (record.spec.experiment.model, record.spec.execution.path)
            own = record.fingerprint.identity.shared_code_hash
            if shared.setdefault(kind, own) != own:
                return True
    return False


def promises_bits(numerics: Mapping[str, object] | None) -> bool:
    """Say whether equal numerics promise equal bits: on an accelerator deterministic algorithms alone do."""
    return (numerics or {}).get("device", "cpu") == "cpu" or bool((numerics or {}).get("deterministic"))


def knows_machine(numerics: Mapping[str, object] | None) -> bool:
    """Say whether numerics tell what computed: a GPU or a processor. Two that are unknown need not be equal ones."""
    found = numerics or {}
    return any(found.get(key) not in {None, "", "unknown"} for key in ("gpu_model", "cpu_model"))


def contradict(first: Record, second: Record) -> bool:
    """Say whether two records of one run, of the same code, data and numerics, have results that may not differ."""
    a, b = first.fingerprint, second.fingerprint
    are_alike = (a.identity.code_hash, a.identity.data_sha256, a.numerics) == (
        b.identity.code_hash,
        b.identity.data_sha256,
        b.numerics,
    )
    return (
        first.run_id == second.run_id
        and first.status == second.status == "ok"
        and are_alike
        and knows_machine(a.numerics)
        and promises_bits(a.numerics)
        and first.result_hash != second.result_hash
    )


def conflicts(records: Iterable[Record]) -> list[tuple[Record, Record]]:
    """Return every two records that contradict each other."""
    by_run: dict[str, list[Record]] = {}
    for record in records:
        by_run.setdefault(record.run_id, []).append(record)
    return [pair for attempts in by_run.values() for pair in combinations(attempts, 2) if contradict(*pair)]


def first_difference(first: Record, second: Record) -> str | None:
    """Return the first epoch and value in which the results of two records of one run differ; None where none does."""
    return next(_differences(first, second), None)


def _differences(first: Record, second: Record) -> Iterator[str]:
    for number, (a, b) in enumerate(zip_longest(first.epochs, second.epochs), start=1):
        if a is None or b is None:
            yield f"{len(first.epochs)} epochs and {len(second.epochs)}"
            return
        yield from (f"epoch {number}, {text}" for text in _in_epoch(a, b))
    if first.confusion != second.confusion:
        yield "confusion counts"
    for digest in ("parameters_sha256", "predictions_sha256"):
        a_digest, b_digest = (getattr(record.summary, digest, None) for record in (first, second))
        if a_digest != b_digest:
            yield f"{digest}: {a_digest} and {b_digest}"
    if first.result_hash != second.result_hash:
        yield f"result_hash alone: {first.result_hash} and {second.result_hash}"


def _in_epoch(first: Epoch, second: Epoch) -> Iterator[str]:
    if first.steps != second.steps:
        yield f"steps: {first.steps} and {second.steps}"
    for key, title in PROTOCOLS.items():
        a, b = getattr(first, key), getattr(second, key)
        yield from (f"{title} {text}" for text in _in_score(a, b))


def _in_score(first: Score, second: Score) -> Iterator[str]:
    for key in ("images", "correct", "loss"):
        a, b = getattr(first, key), getattr(second, key)
        if a != b:
            yield f"{key}: {a!r} and {b!r}"
