"""What is said before anything runs, in words and as rows for programs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from resnet18.cli.preview import Preview
from resnet18.report.reasons import reason_text
from resnet18.spec.errors import UnfinishedError
from resnet18.spec.experiment import FEWEST_SEEDS
from resnet18.spec.metric import duration

if TYPE_CHECKING:
    from resnet18.judge.budget import Choice, Fate

BASES = {
    "timed": "from timed steps",
    "records": "from records",
    "scaled": "scaled from other cases",
    "rule": "by a rule of thumb",
}


def events(view: Preview) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield `plan` with a row for each table and a row for all of them, then `claim` for each claim under a budget."""
    yield from (("plan", row) for row in preview_rows(view))
    yield from (("claim", row) for row in (claim_rows(view.choice) if view.choice else ()))


def announcement(view: Preview, budget: str | None = None) -> str:
    """Return what is known of the runs, and with a budget, told as it was given, which claims it can decide.

    Raises:
        UnfinishedError: it can decide none.
    """
    lines = [preview_text(view), *_slow_precision(view)]
    if view.choice is not None:
        text = budget_text(view.choice, budget or "")
        if not view.choice.taken:
            raise UnfinishedError("--budget", f"no claim can be decided:\n{text}")
        lines.append(text)
    return "\n".join(lines)


def preview_rows(view: Preview) -> list[dict[str, Any]]:
    """Return a flat row for each table of which anything is asked for, and a last row, without a name, for them all.

    Shared runs count once in that.
    """
    rows = [_row(view, benchmark.name) for benchmark in view.wanted.benchmarks]
    return [*(row for row in rows if row["runs"] or row["not_planned"]), _row(view, None)]


def _row(view: Preview, name: str | None) -> dict[str, Any]:
    def belongs(label: str) -> bool:
        return name is None or label.startswith(f"{name}/")

    plan, jobs = view.wanted.plan, view.jobs or 1
    runs = [run for run in plan.runs if any(map(belongs, run.labels))]
    absent = [case for case in plan.not_planned if belongs(case.label)]
    pending = view.pending(runs)
    shared = sum(not run.is_timed for run in pending)
    at_a_time = max(1, min(jobs, shared))
    return {
        "benchmark": name,
        "runs": len(runs),
        "recorded": len(runs) - len(pending),
        "not_planned": len(absent),
        "reasons": list(dict.fromkeys(case.reason for case in absent)),
        "at_a_time": at_a_time,
        "alone": len(pending) if at_a_time == 1 else len(pending) - shared,
        "seconds": view.estimate.total_s(pending, jobs),
        "basis": ", ".join(text for basis, text in BASES.items() if basis in view.estimate.bases) or None,
    }


def preview_text(view: Preview) -> str:
    """Return a line for each table, and a line for all of them where there are several."""
    rows = preview_rows(view)
    if len(rows) == 2:
        rows = rows[:1]
    return "\n".join(f"{row['benchmark'] or 'In all'}: {_line(view, row, with_basis=row is rows[-1])}" for row in rows)


def _line(view: Preview, row: dict[str, Any], *, with_basis: bool) -> str:
    runs = _counted(row["runs"], "run")
    if row["recorded"]:
        runs += f", {row['recorded']} recorded"
    if row["not_planned"]:
        runs += f", {row['not_planned']} not planned ({', '.join(row['reasons'])})"
    if row["recorded"] == row["runs"]:
        return f"{runs}; nothing is left to run" if row["runs"] else runs
    if row["seconds"] is None:
        return f"{runs}; time unknown" + ("" if view.jobs is None else "; add --time to `plan` for an estimate")
    time = f"about {duration(row['seconds'])} here"
    if row["at_a_time"] > 1:  # how much runs slow each other down is not known
        time = f"at best {time}, {row['at_a_time']} at a time" + (", timed runs alone" if row["alone"] else "")
    return f"{runs}; {time}" + (f", {row['basis']}" if with_basis else "")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _slow_precision(view: Preview) -> Iterator[str]:
    """Yield a line on runs in a precision that this machine's processor emulates, where there are some."""
    from resnet18.measure.devices import emulates_bf16

    on_cpu = {"cpu"} if set(view.wanted.devices) - {"cpu"} else {"cpu", "auto"}
    pending = [run.execution for run in view.pending(view.wanted.plan.runs)]
    count = sum(how.precision == "bf16" and how.device in on_cpu for how in pending)
    if count and view.jobs is not None and emulates_bf16():
        yield f"slow here: the processor emulates bf16 ({count} of {len(pending)} runs); faster: -o precision=fp32"


def claim_rows(choice: "Choice") -> list[dict[str, Any]]:
    """Return a flat row for each claim."""
    return [
        {
            "benchmark": fate.benchmark,
            "claim": fate.claim.id,
            "says": fate.claim.says,
            "seeds": fate.seeds,
            "left_out": _left_out(fate) or None,
        }
        for fate in choice.fates
    ]


def _left_out(fate: "Fate") -> str:
    """Return why a claim is left out, empty for a claim that is taken."""
    if fate.reason is not None:
        return reason_text(fate.reason)
    return "" if fate.seeds else f"takes about {duration(fate.takes_s)}, and {duration(fate.left_s)} is left"


def budget_text(choice: "Choice", budget: str) -> str:
    """Return what fits the budget and what does not, and why."""
    claims, taken = len(choice.fates), len(choice.taken)
    time = f"in about {duration(choice.seconds)}, one run after another, of {budget}"
    head = f"Budget: {taken} of {claims} claims get the seeds that a verdict needs, {time}."
    if any(fate.seeds < FEWEST_SEEDS for fate in choice.taken):
        head = f"Budget: runs for {taken} of {claims} claims, {time}. "
        head += f"None of them can be decided: a verdict needs {FEWEST_SEEDS} seeds (--seeds {FEWEST_SEEDS})."
    lines = [f"  {fate.claim.id}, {_counted(fate.seeds, 'seed')}: {fate.claim.says}" for fate in choice.taken]
    left = [fate for fate in choice.fates if not fate.seeds]
    lines += [f"  left out: {fate.claim.id} ({_left_out(fate)}): {fate.claim.says}" for fate in left]
    return "\n".join([head, *lines])
