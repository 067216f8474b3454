"""Terms of a request and notes under a table: what times and best epochs mean, which runs it shares."""

import shlex
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from statistics import median

from resnet18.records.content import TOLD_CPUS, lost_cpus
from resnet18.records.record import Record
from resnet18.report.document import Code, Line
from resnet18.spec.benchmark import Benchmark, Derived
from resnet18.spec.experiment import CIFAR10, EMBEDDED, IMAGE_FOLDER, SCALES
from resnet18.spec.resolve import Request
from resnet18.tables.cells import DAGGER, missing, speed_up
from resnet18.tables.metrics import TIME_METRICS, values_of
from resnet18.tables.pace import full_size_images, trained_images
from resnet18.tables.selection import CaseRecords, Selection, machine, optimizer_form, reported_head

MOST_CAUSES = 3
LOADER_BOUND = 0.5
"""Share of the training time spent waiting for data from which a time says more of the loader than of the device."""
DERIVED = {"ratio": "divided by", "difference": "minus"}


def command(benchmarks: Collection[Benchmark], request: Request, *options: str) -> str:
    """Return the command that runs tables: the suite's by name, a user's own by its file."""
    own = {benchmark.name: benchmark.report == benchmark.name for benchmark in benchmarks}
    names = [f"{name}.toml" if is_own else name for name, is_own in own.items()]
    return f"resnet18 run {shlex.join([*names, '--scale', request.scale, *options])}{_options(request)}"


def _options(request: Request) -> str:
    """Return the options that ask for the same again, each after a space."""
    label, data = request.data_label, ""
    if label != SCALES[request.scale].data:
        data = f" --data {label if label in {CIFAR10, EMBEDDED} else f'{IMAGE_FOLDER}:{label}'}"
    return f"{data} {request.options}".rstrip()


def terms_of(request: Request, selections: Sequence[Selection]) -> Iterator[Line]:
    """Yield what the tables of one request share: data, sizes, machines, versions, and the options that ask again."""
    records = [record for selection in selections for record in selection.records]

    def values(key: str, noun: str = "") -> str:
        found = sorted({getattr(record.spec.experiment, key) for record in records}, key=str)
        text = " or ".join(f"{value:,}" if isinstance(value, int) else value for value in found)
        return f"{text} {noun}{'' if found == [1] else 's'}" if noun else text

    yield Line(
        f"Data: {request.data_label}; {values('train_images', 'training image')}; {values('epochs', 'epoch')}; "
        f"width {values('width')} (ResNet-18 has 64); {values('image_size')} px"
    )
    machines = sorted({machine(record) for record in records if record.fingerprint.numerics})
    yield Line(f"Machine: {'; '.join(machines) or 'unknown'}")
    yield Line(f"Versions: {'; '.join(sorted({_version(record) for record in records}))}")
    yield Line("Options: ", Code(f"--scale {request.scale}{_options(request)}"))


def _version(record: Record) -> str:
    torch = (record.fingerprint.numerics or {}).get("torch", "unknown")
    identity = record.fingerprint.identity
    if identity.commit is None:  # no checkout: what runs of one path have in common names the code
        return f"code {identity.shared_code_hash[:10]}, torch {torch}"
    return f"commit {identity.commit[:10]}{' with changes' if identity.dirty else ''}, torch {torch}"


def notes_of(selection: Selection, request: Request, *, is_brief: bool = False) -> Iterator[Line]:
    """Yield what a reader must know about the cells of a table; briefly, only what times measure."""
    scopes = [row for row in selection.benchmark.table.metrics if row.metric in TIME_METRICS]
    yield from (Line(f"{row.title}: seconds of the {TIME_METRICS[row.metric]}.") for row in scopes)
    if any(row.metric == "train_s" for row in scopes):
        yield from _extrapolation(selection, request)
    if not is_brief:
        yield from (Line(f"Best epoch: {text}.") for text in sorted({_evaluations(run) for run in selection.measured}))
        yield from _ways(selection)
    about_times = (_unreliable,) if is_brief else (_unreliable, _disturbed, _waiting, _first_epoch)
    if scopes:
        yield from chain.from_iterable(notes(selection) for notes in about_times)
    yield from _computed(selection, request)


def _extrapolation(selection: Selection, request: Request) -> Iterator[Line]:
    parts = set()
    for case in selection.cases:
        if images := full_size_images(case, selection.benchmark, request):
            slices = sorted({f"{trained_images(record):,}" for record in case.measured})
            parts.add(f"{images:,} images from {' or '.join(slices)}")
    if parts:
        yield Line(
            f"Extrapolated to full size: training of {'; '.join(sorted(parts))}, summed over epochs. The interval "
            "covers differences between runs, not a change of speed in a longer run. It decides no claim."
        )


def _evaluations(record: Record) -> str:
    """Return over what the best epoch was chosen: its number is biased upwards, the more so the more evaluations."""
    images = [epoch.as_published.images for epoch in record.epochs]
    if len(images) == 1:
        return f"the only evaluation, on {images[0]:,} test images"
    first, last = images[0], images[-1]
    if first == last:
        return f"the highest of {len(images)} evaluations on {last:,} test images"
    at_end = f"the last {images.count(last)} on {last:,} test images, the others on {first:,}"
    return f"the highest of {len(images)} evaluations; {at_end}"


def _ways(selection: Selection) -> Iterator[Line]:
    """Yield path and precision of the cases, and the forms of their optimizers where they differ."""
    for head, way_of in (("Path and precision", path_and_precision), ("Form of the optimizer", optimizer_form)):
        found = defaultdict[str, list[str]](list)
        for case in selection.cases:
            found[" / ".join(sorted({way_of(record) for record in case.measured}))].append(f'"{case.name}"')
        found.pop("", None)
        if len(found) > 1:
            ways = (f"{way} ({', '.join(names)})" for way, names in found.items())
            yield Line(f"{head}: {'; '.join(ways)}.")
        elif found and way_of is path_and_precision:
            yield Line(f"{head}: {', '.join(found)}.")


def path_and_precision(record: Record) -> str:
    """Return the path and the precision that ran, with the one that was asked for where it is another."""
    asked = record.spec.execution
    ran = (record.fingerprint.numerics or {}).get("precision", asked.precision)
    return f"{asked.path}, {ran}" + ("" if ran == asked.precision else f" instead of {asked.precision}")


def _unreliable(selection: Selection) -> Iterator[Line]:
    unreliable = [record for record in selection.measured if record.has_unreliable_times]
    if unreliable:
        causes = sorted({text for record in unreliable for text in record.unreliable_because or record.flags})
        more = [f"and {len(causes) - MOST_CAUSES} more"] if len(causes) > MOST_CAUSES else []
        yield Line(
            f"{DAGGER}: the times of {len(unreliable)} of {len(selection.measured)} runs are unreliable, so no verdict "
            f"and no speed-up uses them. Reasons: {'; '.join([*causes[:MOST_CAUSES], *more])}."
        )


def _disturbed(selection: Selection) -> Iterator[Line]:
    """Yield what others took from runs whose times count all the same."""
    lost = [
        lost_cpus(record.conditions.model_dump(), record.fingerprint.numerics or {})
        for record in selection.measured
        if record.conditions and not record.has_unreliable_times
    ]
    if told := [cpus for cpus in lost if cpus > TOLD_CPUS]:
        yield Line(
            f"Other programs or the hypervisor took more than {TOLD_CPUS} CPUs from {len(told)} of {len(lost)} runs "
            f"whose times count, at most {max(told):.2f}. That makes them longer, most with small batches; times are "
            "compared seed by seed."
        )


def _waiting(selection: Selection) -> Iterator[Line]:
    bound = []
    for case in selection.cases:
        epochs = [epoch for record in case.measured for epoch in record.epochs]
        train_s = sum(epoch.train_s for epoch in epochs)
        share = sum(epoch.data_wait_s for epoch in epochs) / train_s if train_s else 0.0
        if share > LOADER_BOUND:
            bound.append(f'"{case.name}" ({100 * share:.0f} %)')
    if bound:
        head = "The data loader limits these times (share of training spent waiting for data)"
        yield Line(f"{head}: {', '.join(bound)}.")


def _first_epoch(selection: Selection) -> Iterator[Line]:
    reliable = [record.epochs for record in selection.measured if not record.has_unreliable_times]
    later_s = [(first.train_s, median(epoch.train_s for epoch in later)) for first, *later in reliable if later]
    if ratios := [first_s / rest_s for first_s, rest_s in later_s if rest_s]:
        percent = round(100 * (median(ratios) - 1))
        speed = f"{abs(percent)} % {'slower' if percent > 0 else 'faster'} than" if percent else "as fast as"
        yield Line(f"The first epoch was {speed} later epochs (median of {len(ratios)} runs).")


def _computed(selection: Selection, request: Request) -> Iterator[Line]:
    """Yield the numbers that the report computed from its table, with ours."""
    cases, head = {case.name: case for case in selection.cases}, reported_head(request)
    for derived in selection.benchmark.printed.derived:
        measured = _derived(derived, cases[derived.of], cases[derived.to])
        asked = f"{derived.of} {DERIVED[derived.kind]} {derived.to}"
        yield Line(f"{derived.name}, {asked}: {head} {derived.printed}; measured {measured}.")


def _derived(derived: Derived, of: CaseRecords, to: CaseRecords) -> str:
    for case in (of, to):
        if not case.measured:
            return missing(case).text
    if derived.kind == "ratio" and derived.metric in TIME_METRICS:
        machines = sorted({machine(record) for case in (of, to) for record in case.measured})
        return f"{speed_up(of, to, derived.metric).text}, medians on {' and '.join(machines)}"
    first, second = (values_of(derived.metric, case.measured) for case in (of, to))
    return f"{median(first) - median(second):.4g} (of medians; n = {len(first)} and {len(second)})"
