"""Why a claim was not judged, in words."""

from collections.abc import Iterable

from resnet18.judge.reason import Code, Reason
from resnet18.spec.metric import METRICS, duration

TEXTS: dict[Code, str] = {
    "no_records": "no records",
    "no_records_of_case": '"{case}" has no records',
    "other_data": "judged on CIFAR-10 alone",
    "other_scale": "judged at paper scale alone",
    "other_options": "an option changed the experiment",
    "same_run": "two of its cases are one run under these options",
    "no_device": "{what}",
    "no_run_on_device": "no run on {what}",
    "no_run_on_card": "no run on a card of {what}",
    "seed_twice": 'seed {count} of "{case}" is in two records',
    "several_data_sets": "several data sets of one name",
    "several_codes": "records of several versions of the code",
    "several_machines": "runs{of_case} come from several machines or installations",
    "unknown_machine": "runs come from an unknown machine: neither processor nor GPU has a name",
    "unreliable_times": "{count} of {of} times {is_or_are} unreliable (flags: {what}): run --retime takes {it_or_them} "
    "again, report --accept-unreliable counts {it_or_them}",
    "undefined": "needs {needs}",
    "too_few_epochs": "overfitting: needs {count} epochs",
    "no_ratio": "{value:g}, which no ratio can be taken of",
    "no_noise": "equal to the last bit over seeds, so that nothing tells its noise",
    "few_seeds": "{case_has}{count} of the {of} seeds that a verdict needs",
    "run_failed": 'seed {count} of "{case}" ended {what}',
    "endings_differ": "runs ended differently: {what}",
    "not_planned": "{case} is not planned",
    "time_unknown": "how long {case} takes is not known",
    "takes_too_long": "takes about {needed}, and {left} is left",
    "other_device": "{case} does not run on {what} here",
}


def reason_text(reason: Reason, *, with_metric: bool = True) -> str:
    """Return a reason in words, after the metric that it is about unless that is said already."""
    facts = METRICS.get(reason.metric)
    is_one = reason.count == 1
    text = TEXTS[reason.code].format(
        case=reason.case,
        case_has=f'case "{reason.case}" has ' if reason.case else "",
        of_case=f' of "{reason.case}"' if reason.case else "",
        count=reason.count,
        of=reason.of,
        value=reason.value,
        what=reason.what,
        needed=duration(reason.count),
        left=duration(reason.of),
        needs=facts.needs if facts else "",
        is_or_are="is" if is_one else "are",
        it_or_them="it" if is_one else "them",
    )
    return f"{facts.title}: {text}" if facts and with_metric else text


def reasons_text(reasons: Iterable[Reason]) -> str:
    """Return several reasons in words, each once."""
    return "; ".join(dict.fromkeys(reason_text(reason) for reason in reasons))
