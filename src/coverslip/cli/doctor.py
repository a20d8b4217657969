"""The command `doctor`."""

import sys
from dataclasses import asdict

import click

from coverslip.cli.telling import JSON, tell
from coverslip.pipeline.doctor import doctor as check_all


@click.command()
@JSON
def doctor(as_json: bool) -> None:
    """Check this installation, and say what to do about what is missing."""
    checks = check_all()
    lines = (
        f"[{check.state:>4}] {check.name}: {check.found}"
        + (f"\n        -> {check.remedy}" if check.remedy else "")
        for check in checks
    )
    tell({"checks": [asdict(check) for check in checks]}, lines, as_json=as_json)
    if any(check.state == "bad" for check in checks):
        sys.exit(1)
