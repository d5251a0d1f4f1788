"""The verb doctor: checks this computer for all that a build and a board need."""

from __future__ import annotations

from dataclasses import asdict

import click

from tinyllm.host.cli.options import json_option
from tinyllm.host.doctor import check_machine
from tinyllm.host.output import Output


@click.command()
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Check what this machine has of what a build and a board need."""
    output = Output(as_json)
    checks = []
    for check in check_machine():
        checks.append(check)
        if not as_json:
            mark, style = ("ok", "green") if check.ok else ("missing", "red") if check.needed else ("note", "yellow")
            output.line(f"{mark:8} {check.name:20} {check.found}", style="" if check.ok else style, indent=30)
            if not check.ok and check.advice:
                output.line(f"{'':29} {check.advice}", indent=30)
    healthy = all(check.ok for check in checks if check.needed)
    if as_json:
        output.document({"healthy": healthy, "checks": [asdict(check) for check in checks]})
    if not healthy:
        ctx.exit(1)
