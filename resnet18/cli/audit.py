"""The command `audit`: published reports are checked for consistency."""

from resnet18.cli import options as opt
from resnet18.spec.load import load_benchmarks


def audit_command(names: opt.Names = None) -> opt.Answer:
    """Check whether the numbers of published reports agree with each other. Findings do not change the exit code."""
    from resnet18.audit import audit, audit_rows, audit_text

    benchmarks = load_benchmarks(names)
    findings, unchecked = audit(benchmarks)
    return opt.Answer(audit_rows(findings), audit_text(findings, unchecked, len(benchmarks)))
