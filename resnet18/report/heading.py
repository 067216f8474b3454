"""What all tables of one request share: data, sizes, machines, versions, and the options that ask for it again."""

from shlex import quote

from resnet18.records.record import Record
from resnet18.spec.benchmark import Benchmark
from resnet18.spec.data import CIFAR10, EMBEDDED, IMAGE_FOLDER, is_cifar10
from resnet18.spec.resolve import DEVICE_OPTION, Request
from resnet18.spec.scale import SCALES
from resnet18.tables.extrapolation import has_extrapolation
from resnet18.tables.markdown import code, escape
from resnet18.tables.metrics import machine
from resnet18.tables.selection import Selection, reported_head


def heading(request: Request, views: tuple[Selection, ...]) -> str:
    """Return what the tables of one request share: data, scale, machine, versions."""
    records = [record for view in views for record in view.records]
    known = [record for record in records if record.fingerprint.numerics]
    lines = [
        f"## {escape(request.described.capitalize())}",
        "",
        f"- Data: {escape(request.data_label)}; {_amounts(records)}",
        f"- Machine: {'; '.join(sorted({escape(machine(record)) for record in known}))}",
        f"- Versions: {'; '.join(sorted({_versions(record) for record in records}))}",
        f"- Options: {code(f'--scale {request.scale}{options_of(request)}')}",
    ]
    if reported_head(request) is None:
        is_beside = any(view.is_half_recorded and has_extrapolation(view, request) for view in views)
        what = "stand only beside extrapolated times" if is_beside else "are left out"
        lines.append(f"- Reported values {what}: {_why_no_reported(request)}.")
    return "\n".join([*lines, ""])


def _amounts(records: list[Record]) -> str:
    """Return how much was run, as it was: training images, epochs, width and input size, each with all its values."""
    specs = [record.spec.experiment for record in records]

    def values(key: str) -> str:
        found = {getattr(spec, key) for spec in specs}
        return " or ".join(f"{one:,}" if isinstance(one, int) else one for one in sorted(found, key=str))

    return (
        f"{values('train_images')} training images; {values('epochs')} epochs; "
        f"width {values('width')} (64 is ResNet-18); {values('image_size')} px"
    )


def as_argument(benchmark: Benchmark) -> str:
    """Return how a command names a table: the suite's by name, one of somebody's own by its file."""
    return f"{benchmark.name}.toml" if benchmark.report_name == benchmark.name else benchmark.name


def options_of(request: Request) -> str:
    """Return the options that ask for the same again."""
    label, options = request.data_label, []
    if label != SCALES[request.scale].data:
        options.append(f"--data {label if label in {CIFAR10, EMBEDDED} else f'{IMAGE_FOLDER}:{label}'}")
    options += [one if one.startswith(DEVICE_OPTION) else f"-o {quote(one)}" for one in request.overrides]
    return "".join(f" {option}" for option in options)


def _why_no_reported(request: Request) -> str:
    if not is_cifar10(request.data_label):
        return f"{escape(request.data_label)} is not CIFAR-10"
    return "these runs are too small" if request.scale == "smoke" else "an option changed the experiment"


def _versions(record: Record) -> str:
    numerics = record.fingerprint.numerics or {}
    torch = numerics.get("torch", "unknown")
    identity = record.fingerprint.identity
    if identity.commit is None:  # no checkout: what runs of one path have in common names the code
        return escape(f"code {identity.shared_code_hash[:10]}, torch {torch}")
    return escape(f"commit {identity.commit[:10]}{' with changes' if identity.dirty else ''}, torch {torch}")
