"""Which figures a table has."""

from resnet18.analysis.figures import learning_curves
from resnet18.analysis.view import BenchmarkView
from resnet18.spec.resolve import Request


def figures_of(view: BenchmarkView, request: Request) -> dict[str, bytes]:
    """Return the SVGs of a table by name: learning curves."""
    if not view.measured:
        return {}
    benchmark = view.benchmark
    title = f"{benchmark.title} ({request.described})"
    return {benchmark.name: learning_curves(title, benchmark.table.case_title, view.arms)}
