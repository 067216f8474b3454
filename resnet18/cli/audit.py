"""The command `audit`: published reports checked against themselves."""

from resnet18.cli import options as opt
from resnet18.cli.errors import echo_either, errors_reported
from resnet18.spec.load import load_benchmarks


def audit_command(files: opt.Files = None, as_json: opt.Json = False, debug: opt.Debug = False) -> None:
    """Check published reports against themselves. Nothing is trained; whatever is found, the exit code is 0."""
    with errors_reported(debug):
        from resnet18.audit import audit, audit_rows, audit_text

        benchmarks = load_benchmarks(tuple(files or ()))
        findings, unchecked = audit(benchmarks)
        echo_either(audit_rows(findings), audit_text(findings, unchecked, len(benchmarks)), as_json=as_json)
