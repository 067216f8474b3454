"""Terms of a request and notes under a table: what times and best epochs mean, which runs it shares."""

from collections.abc import Iterator, Sequence
from statistics import fmean, median

from resnet18.records.record import Epoch, Record
from resnet18.report.contents import options_of
from resnet18.report.document import Line, code, line
from resnet18.spec.benchmark import Derived
from resnet18.spec.data import is_cifar10
from resnet18.spec.resolve import Request
from resnet18.tables.cells import DAGGER, missing
from resnet18.tables.metrics import CURVES, SCOPES, machine, optimizer_form
from resnet18.tables.selection import CaseRecords, Selection, reported_head
from resnet18.tables.times import can_extrapolate, full_size, has_extrapolation, images_at, speed_up, trained_images

MOST_CAUSES = 3
LOADER_BOUND = 0.5
"""Share of the training time spent waiting for data from which a time says more of the loader than of the device."""


def terms_of(request: Request, selections: Sequence[Selection]) -> Iterator[Line]:
    """Yield what the tables of one request share: data, sizes, machines, versions, and the options that ask again."""
    records = [record for selection in selections for record in selection.records]
    specs = [record.spec.experiment for record in records]

    def values(key: str) -> str:
        found = sorted({getattr(spec, key) for spec in specs}, key=str)
        return " or ".join(f"{value:,}" if isinstance(value, int) else value for value in found)

    yield line(
        f"Data: {request.data_label}; {values('train_images')} training images; {values('epochs')} epochs; "
        f"width {values('width')} (64 is ResNet-18); {values('image_size')} px"
    )
    yield line(f"Machine: {'; '.join(sorted({machine(record) for record in records if record.fingerprint.numerics}))}")
    yield line(f"Versions: {'; '.join(sorted({_version(record) for record in records}))}")
    yield line("Options: ", code(f"--scale {request.scale}{options_of(request)}"))
    if reported_head(request) is None:
        is_beside = any(
            selection.is_half_recorded and has_extrapolation(selection, request) for selection in selections
        )
        what = "stand only beside extrapolated times" if is_beside else "are left out"
        why = "these runs are too small" if request.scale == "smoke" else "an option changed the experiment"
        why = why if is_cifar10(request.data_label) else f"{request.data_label} is not CIFAR-10"
        yield line(f"Reported values {what}: {why}.")


def _version(record: Record) -> str:
    torch = (record.fingerprint.numerics or {}).get("torch", "unknown")
    identity = record.fingerprint.identity
    if identity.commit is None:  # no checkout: what runs of one path have in common names the code
        return f"code {identity.shared_code_hash[:10]}, torch {torch}"
    return f"commit {identity.commit[:10]}{' with changes' if identity.dirty else ''}, torch {torch}"


def notes_of(selection: Selection, selections: Sequence[Selection], request: Request) -> Iterator[Line]:
    """Yield what a reader must know about the cells of a table, which may share runs with other selections."""
    for row in selection.benchmark.table.metrics:
        if row.metric in SCOPES:
            yield line(f"{row.title}: seconds of the {SCOPES[row.metric]}.")
    if any(row.metric == "train_s" for row in selection.benchmark.table.metrics):
        yield from extrapolation_note(selection, request)
    for text in sorted({_evaluations(record) for record in selection.measured}):
        yield line(f"Best epoch: {text}.")
    yield from _ways(selection)
    if has_times(selection):
        yield from unreliable_note(selection)
        yield from loader_notes(selection)
    for case in selection.cases:
        twins = [
            f'"{twin.name}" of {other.benchmark.title}'
            for other in selections
            for twin in other.cases
            if case.records and twin.arm_id == case.arm_id and twin.case != case.case
        ]
        if twins:
            yield line(f'"{case.name}" is the same run as {", ".join(twins)}.')
    yield from _derived(selection, request)


def has_times(selection: Selection) -> bool:
    """Say whether a table prints times."""
    return any(row.metric in SCOPES for row in selection.benchmark.table.metrics)


def extrapolation_note(selection: Selection, request: Request) -> Iterator[Line]:
    """Yield what extrapolated times are made of, if there are any."""
    parts = set()
    for case in selection.cases:
        full = full_size(case, selection.benchmark, request)
        if full is not None and can_extrapolate(case, selection.benchmark, request):
            slices = sorted({f"{trained_images(record):,}" for record in case.measured})
            parts.add(f"{images_at(full, request):,} images from {' or '.join(slices)}")
    if parts:
        yield line(
            f"Extrapolated to full size: training of {'; '.join(sorted(parts))}, summed over epochs. The interval "
            "covers differences between runs, not a change of speed in a longer run. It decides no claim."
        )


def _evaluations(record: Record) -> str:
    """Return over what the best epoch was chosen: its number is biased upwards, the more so the more evaluations."""
    images = [epoch.as_published.images for epoch in record.epochs]
    if len(images) == 1:
        return f"the only evaluation, on {images[0]:,} test images"
    text = f"the highest of {len(images)} evaluations on test images, the last on {images[-1]:,}"
    return text if images[0] == images[-1] else f"{text}, the others on {images[0]:,}"


def _ways(selection: Selection) -> Iterator[Line]:
    """Yield how the cases were carried out: path and precision, and the optimizers' forms where they differ."""
    for text, way_of in (("Carried out on the", carried_out_on), ("Optimizer in the form:", optimizer_form)):
        found: dict[str, list[str]] = {}
        for case in selection.cases:
            if way := " / ".join(sorted({way_of(record) for record in case.measured})):
                found.setdefault(way, []).append(f'"{case.name}"')
        if len(found) == 1 and way_of is carried_out_on:
            yield line(f"{text} {next(iter(found))}.")
        elif len(found) > 1:
            yield line(f"{text} " + "; ".join(f"{way} ({', '.join(names)})" for way, names in found.items()) + ".")


def carried_out_on(record: Record) -> str:
    """Return the path and the precision that ran, with the one that was asked for where it is another."""
    asked, numerics = record.spec.execution, record.fingerprint.numerics or {}
    ran = numerics.get("precision", asked.precision)
    return f"{asked.path} path, {ran}" + ("" if ran == asked.precision else f" instead of {asked.precision}")


def unreliable_note(selection: Selection) -> Iterator[Line]:
    """Yield what the dagger beside a time means, if any has one."""
    unreliable = [record for record in selection.measured if record.has_unreliable_times]
    if unreliable:
        causes = sorted({text for record in unreliable for text in record.unreliable_because or record.flags})
        more = [f"and {len(causes) - MOST_CAUSES} more"] if len(causes) > MOST_CAUSES else []
        yield line(
            f"{DAGGER}: the times of {len(unreliable)} of {len(selection.measured)} runs are unreliable: they decide "
            f"no verdict and enter no speed-up. {'; '.join([*causes[:MOST_CAUSES], *more])}."
        )


def loader_notes(selection: Selection) -> Iterator[Line]:
    """Yield which times are mostly waiting for data, and what the first epoch and a step cost."""
    shares = {case.name: _waiting_share(case.measured) for case in selection.cases if case.measured}
    bound = [f'"{name}" ({100 * share:.0f} %)' for name, share in shares.items() if share > LOADER_BOUND]
    if bound:
        yield line(
            "These times measure the data loader, not the device (share of training spent waiting): "
            f"{', '.join(bound)}."
        )
    later_s = [(record, median(epoch.train_s for epoch in _later(record))) for record in selection.measured]
    firsts = [record.epochs[0].train_s / s for record, s in later_s if len(record.epochs) > 1 and s > 0]
    if firsts:
        percent = round(100 * (median(firsts) - 1))
        speed = f"{abs(percent)} % {'slower' if percent > 0 else 'faster'} than" if percent else "as fast as"
        yield line(f"The first epoch was {speed} later epochs (median of {len(firsts)} runs).")
    yield from _step_note(selection)


def _later(record: Record) -> Sequence[Epoch]:
    return record.epochs[1:] or record.epochs


def _waiting_share(records: Sequence[Record]) -> float:
    train_s = sum(epoch.train_s for record in records for epoch in record.epochs)
    waiting_s = sum(epoch.data_wait_s for record in records for epoch in record.epochs)
    return waiting_s / train_s if train_s else 0.0


def _step_note(selection: Selection) -> Iterator[Line]:
    """Yield the fit of an epoch's time to images and steps, where three cases differ in the batch size alone.

    Time = a + b steps, least squares over the medians: a is what the images cost however they are batched.
    """
    cases = [case for case in selection.cases if case.measured]
    others = {case.experiment.model_copy(update={"batch_size": 1}).model_dump_json() for case in cases}
    steps = [case.measured[0].epochs[0].steps for case in cases]
    if len({case.experiment.batch_size for case in cases}) < 3 or len(others) > 1 or len(set(steps)) < 3:
        return
    seconds = [median(epoch.train_s for record in case.measured for epoch in _later(record)) for case in cases]
    mean_steps, mean_s = fmean(steps), fmean(seconds)
    spread = sum((step - mean_steps) ** 2 for step in steps)
    per_step_s = sum((step - mean_steps) * (s - mean_s) for step, s in zip(steps, seconds, strict=True)) / spread
    fixed_s, waiting = mean_s - per_step_s * mean_steps, 100 * _waiting_share(selection.measured)
    yield line(
        f"An epoch takes {fixed_s:.3g} s for its images and {1e3 * per_step_s:.3g} ms for each step (a line through "
        f"the medians of {len(cases)} batch sizes); {waiting:.0f} % of the training time is waiting for data."
    )


DERIVED = {"ratio": "divided by", "difference": "less"}


def _derived(selection: Selection, request: Request) -> Iterator[Line]:
    """Yield the numbers that the report computed from its cells beside ours, computed from records."""
    cases = {case.name: case for case in selection.cases}
    head = reported_head(request)
    for derived in selection.benchmark.printed.derived:
        yield line(
            f"{derived.name}, {derived.of} {DERIVED[derived.kind]} {derived.to}: "
            f"{head or 'reported'} {derived.printed if head else 'left out'}; "
            f"measured {_derived_value(derived, cases[derived.of], cases[derived.to])}."
        )


def _derived_value(derived: Derived, of: CaseRecords, to: CaseRecords) -> str:
    for case in (of, to):
        if not case.measured:
            return missing(case).text
    if derived.kind == "ratio" and derived.metric in SCOPES:
        machines = sorted({machine(record) for case in (of, to) for record in case.measured})
        return f"{speed_up(of, to, derived.metric).text}, medians on {' and '.join(machines)}"
    first, second = ([CURVES[derived.metric](record) or 0.0 for record in case.measured] for case in (of, to))
    return f"{median(first) - median(second):.4g} (of medians; n = {len(first)} and {len(second)})"
