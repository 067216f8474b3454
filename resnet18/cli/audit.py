"""The command `audit`: published reports checked against themselves."""

from resnet18.cli import options as opt
from resnet18.spec.load import load_benchmarks


def audit_command(names: opt.Names = None) -> opt.Answer:
    """Check published reports against themselves. Nothing is trained; whatever is found, the exit code is 0."""
    from resnet18.audit import audit, audit_rows, audit_text

    benchmarks = load_benchmarks(names)
    findings, unchecked = audit(benchmarks)
    return opt.Answer(audit_rows(findings), audit_text(findings, unchecked, len(benchmarks)))
