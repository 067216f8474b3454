"""The exact tier: what must be equal to the last bit, so that one run is enough."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from resnet18.gate.finding import Finding
from resnet18.records.compare import first_difference, knows_machine
from resnet18.records.record import Record


def exact_findings(case: str, base: Sequence[Record], head: Sequence[Record]) -> Iterator[Finding]:
    """Yield what is equal and what is not: spec, parameters, steps, and under equal numerics the bits of each seed.

    Args:
        case: the label, `benchmark/case`.
        base: records of the baseline, all of one arm.
        head: records that are judged, all of one arm.
    """
    old, new = base[0], head[0]
    if changed := [*_changed(_spec(old), _spec(new))]:
        yield Finding(case, "spec", "regression", f"{changed[0]}; if that was meant: make baseline")
        return
    yield Finding(case, "spec", "ok", f"experiment and execution are equal (arm {new.arm_id})")
    for metric, a, b in (
        ("parameters", old.parameters, new.parameters),
        ("steps", _steps(old), _steps(new)),
    ):
        yield Finding(case, metric, "ok" if a == b else "regression", f"{b}" if a == b else f"{a} and now {b}")
    yield _bits(case, base, head)


def _bits(case: str, base: Sequence[Record], head: Sequence[Record]) -> Finding:
    known = {record.seed: record for record in base}
    pairs = [(known[record.seed], record) for record in head if record.seed in known]
    if not pairs:
        return Finding(case, "bits", "not compared", "no seed is in both")
    alike = [(a, b) for a, b in pairs if not [*other_numerics(a, b)]]
    if not alike:
        fields = ", ".join(other_numerics(*pairs[0]))
        return Finding(case, "bits", "not compared", f"the baseline is of other numerics: {fields}")
    for old, new in alike:
        if old.result_hash != new.result_hash:
            return Finding(case, "bits", "regression", f"seed {new.seed}: {first_difference(old, new)}")
    return Finding(case, "bits", "ok", f"equal to the last bit for {len(alike)} of {len(head)} seeds")


def other_numerics(first: Record, second: Record) -> Iterator[str]:
    """Yield the fields, data included, in which two records' numerics differ: under other ones no bits are promised.

    Nor are they where the processor is unknown: two that are unknown need not be equal ones.
    """
    if first.fingerprint.identity.data_sha256 != second.fingerprint.identity.data_sha256:
        yield "data_sha256"
    a, b = (one.fingerprint.numerics or {} for one in (first, second))
    yield from (key for key in sorted({*a, *b}) if a.get(key) != b.get(key))
    if not (knows_machine(a) or knows_machine(b)):
        yield "cpu_model, which is unknown"


def _steps(record: Record) -> str:
    return f"{sum(epoch.steps for epoch in record.epochs)} in {len(record.epochs)} epochs"


def _spec(record: Record) -> dict[str, Any]:
    spec = record.spec.model_dump(mode="json")
    del spec["experiment"]["seed"]
    return {"experiment": spec["experiment"], "execution": spec["execution"]}


def _changed(old: object, new: object, key: str = "") -> Iterator[str]:
    """Yield `key: old and now new` for each value that differs, lists item by item."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*old, *(one for one in new if one not in old)]:
            yield from _changed(old.get(name), new.get(name), f"{key}.{name}".lstrip("."))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from _changed(a, b, f"{key}[{number}]")
    elif old != new:
        yield f"{key}: {old} and now {new}"
