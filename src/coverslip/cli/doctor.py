"""The command `doctor`."""

import sys

import click

from coverslip.pipeline.doctor import doctor as check_all


@click.command()
def doctor() -> None:
    """Check this installation, and say what to do about what is missing."""
    checks = check_all()
    for check in checks:
        remedy = f"\n        -> {check.remedy}" if check.remedy else ""
        click.echo(f"[{check.state:>4}] {check.name}: {check.found}{remedy}")
    if any(check.state == "bad" for check in checks):
        sys.exit(1)
