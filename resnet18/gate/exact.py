"""What must be equal to the last bit, so that a single run is enough; and whether records may be compared at all."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from resnet18.records.content import differ_in_code, first_difference, knows_machine
from resnet18.records.record import Record

Outcome = Literal["ok", "regression", "not compared", "missing"]
Cases = Mapping[str, Sequence[Record]]
"""Records by the label of their case, `benchmark/case`."""


@dataclass(frozen=True)
class Finding:
    """What a check says of a metric of a case."""

    case: str
    metric: str
    verdict: Outcome
    """`not compared`: this comparison cannot be made here, and others stand for the case. `missing`: a record that the
    check needs is not there, so that nothing must pass on it.
    """
    says: str


def exact_findings(case: str, base: Sequence[Record], head: Sequence[Record]) -> Iterator[Finding]:
    """Yield what is equal and what is not: spec, parameters, steps, and under equal numerics the bits of each seed."""
    old, new = base[0], head[0]
    if changed := next(_changed(_spec(old), _spec(new)), None):
        yield Finding(case, "spec", "regression", f"{changed}; if that was meant: make baseline")
        return
    yield Finding(case, "spec", "ok", f"experiment and execution are equal (arm {new.arm_id})")
    for metric, a, b in (("parameters", old.parameters, new.parameters), ("steps", _steps(old), _steps(new))):
        yield Finding(case, metric, "ok" if a == b else "regression", f"{b}" if a == b else f"{a} and now {b}")
    yield _bits(case, base, head)


def _bits(case: str, base: Sequence[Record], head: Sequence[Record]) -> Finding:
    known = {record.seed: record for record in base}
    pairs = [(known[record.seed], record) for record in head if record.seed in known]
    if not pairs:
        return Finding(case, "bits", "not compared", "no seed is in both")
    alike = [(old, new) for old, new in pairs if not [*other_numerics(old, new)]]
    if not alike:
        fields = ", ".join(other_numerics(*pairs[0]))
        return Finding(case, "bits", "not compared", f"the baseline is of other numerics: {fields}")
    for old, new in alike:
        if old.result_hash != new.result_hash:
            return Finding(case, "bits", "regression", f"seed {new.seed}: {first_difference(old, new)}")
    return Finding(case, "bits", "ok", f"equal to the last bit for {len(alike)} of {len(head)} seeds")


def other_numerics(first: Record, second: Record) -> Iterator[str]:
    """Yield the fields in which data and numerics of two records differ: then no bits are promised.

    Nor are they where the processor is unknown: two unknown processors need not be equal.
    """
    a, b = _known(first), _known(second)
    yield from (key for key in ("data_sha256", *sorted({*a, *b} - {"data_sha256"})) if a.get(key) != b.get(key))
    if not (knows_machine(a) or knows_machine(b)):
        yield "cpu_model, which is unknown"


def _known(record: Record) -> dict[str, object]:
    return {"data_sha256": record.fingerprint.identity.data_sha256, **(record.fingerprint.numerics or {})}


def _steps(record: Record) -> str:
    return f"{sum(epoch.steps for epoch in record.epochs)} in {len(record.epochs)} epochs"


def _spec(record: Record) -> dict[str, Any]:
    return record.spec.model_dump(mode="json", include={"experiment": True, "execution": True})


def _changed(old: object, new: object, key: str = "") -> Iterator[str]:
    """Yield `key: old and now new` for each value that differs, lists item by item."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*old, *(added for added in new if added not in old)]:
            if name != "seed":
                yield from _changed(old.get(name), new.get(name), f"{key}.{name}".lstrip("."))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from _changed(a, b, f"{key}[{number}]")
    elif old != new:
        yield f"{key}: {old} and now {new}"


def obstacles(first: Cases, second: Cases) -> list[str]:
    """Return why two folders of records cannot be compared; nothing where they can."""
    found = []
    for which, cases in (("the first", first), ("the second", second)):
        if any(record.fingerprint.identity.dirty for records in cases.values() for record in records):
            found.append(f"{which} has records of a checkout with uncommitted changes, which cannot be made again")
        if differ_in_code(cases.values()):
            found.append(f"{which} has records of several versions of the code")
    both = [case for case in first if first[case] and second.get(case)]
    if not both:
        found.append("no case has records in both")
    for case in both:
        pair = first[case][0], second[case][0]
        for key in other_numerics(*pair):
            old, new = (_known(record).get(key, "unknown") for record in pair)
            found.append(f"{case}: {key}" + (f" is {old} and {new}" if old != new else ""))
    return found
