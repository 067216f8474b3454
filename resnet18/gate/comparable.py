"""Whether two folders of records may be compared: the same machine, software and data, and code that has a name."""

from collections.abc import Iterator, Mapping, Sequence

from resnet18.gate.exact import other_numerics
from resnet18.records.compare import differ_in_code
from resnet18.records.record import Record


def obstacles(first: Mapping[str, Sequence[Record]], second: Mapping[str, Sequence[Record]]) -> list[str]:
    """Return why records of the same cases cannot be compared; nothing where they can."""
    found = [*_dirty("the first", first), *_dirty("the second", second)]
    both = [case for case in first if first[case] and second.get(case)]
    if not both:
        return [*found, "no case has records in both"]
    for case in both:
        a, b = first[case][0], second[case][0]
        for key in other_numerics(a, b):
            one, other = (_value(record, key) for record in (a, b))
            found.append(f"{case}: {key}" + (f" is {one} and {other}" if one != other else ""))
    return list(dict.fromkeys(found))


def _dirty(which: str, cases: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    identities = {record.fingerprint.identity for of_case in cases.values() for record in of_case}
    if any(identity.dirty for identity in identities):
        yield f"{which} has records of a checkout with uncommitted changes: nobody could make them again"
    if differ_in_code(cases.values()):
        yield f"{which} has records of several versions of the code"


def _value(record: Record, key: str) -> object:
    if key == "data_sha256":
        return record.fingerprint.identity.data_sha256
    return (record.fingerprint.numerics or {}).get(key, "unknown")
