"""The command `audit`: published reports are checked for consistency."""

from resnet18.cli import options as opt
from resnet18.spec.load import load_benchmarks


def audit_command(names: opt.Names = None) -> opt.Answer:
    """Check published reports for consistency, without training. The exit code is 0 with or without findings."""
    from resnet18.audit import audit, audit_rows, audit_text

    benchmarks = load_benchmarks(names)
    findings, unchecked = audit(benchmarks)
    return opt.Answer(audit_rows(findings), audit_text(findings, unchecked, len(benchmarks)))
