"""The command `plan`. Whatever is heavy is imported inside."""

import json
from typing import TYPE_CHECKING

import typer

from resnet18.cli.errors import echo, errors_reported
from resnet18.cli.options import (
    LOCAL,
    BudgetOption,
    CaseOption,
    DataOption,
    DebugOption,
    DeviceOption,
    HypothesesOption,
    JsonOption,
    Names,
    ResultsOption,
    ScaleOption,
    SeedsOption,
    SetOption,
    TimeOption,
)
from resnet18.cli.request import asked, seconds_of
from resnet18.spec.scale import FEWEST_SEEDS

if TYPE_CHECKING:
    from resnet18.cli.preview import Timing


def plan_command(
    names: Names = None,
    scale: ScaleOption = "smoke",
    seeds: SeedsOption = None,
    data: DataOption = None,
    device: DeviceOption = None,
    options: SetOption = None,
    cases: CaseOption = None,
    hypotheses: HypothesesOption = False,
    results: ResultsOption = LOCAL,
    budget: BudgetOption = None,
    time_steps: TimeOption = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """List the runs, which of them are recorded, and how long the others take. Nothing is run."""
    with errors_reported(debug):
        from resnet18.cli.announce import announcement
        from resnet18.cli.preview import preview, within_budget
        from resnet18.execution.listing import plan_rows, plan_text
        from resnet18.records.store import Store

        budget_s = None if budget is None else seconds_of(budget)
        wanted = asked(
            names,
            scale,
            seeds,
            data,
            device,
            options,
            cases=cases,
            hypotheses=hypotheses,
            fewest_seeds=1 if budget_s is None else FEWEST_SEEDS,
        )
        records = Store(results).read().records
        timing: Timing = "always" if time_steps or budget_s else "never"
        view = preview(wanted, records, timing)
        view = view if budget_s is None else within_budget(view, budget_s)
        text = announcement(view, budget)
        rows = plan_rows(view.plan, records, view.estimate.seconds)
        if as_json:
            typer.echo(json.dumps(rows, indent=1))
        else:
            echo(f"{plan_text(rows, view.plan, wanted.request)}\n\n{text}")
