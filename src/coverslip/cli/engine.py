"""Where the work of a command runs: options that many commands share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from coverslip.cli.options import Command
from coverslip.pipeline.engine import Engine, LocalEngine


def engine_options(command: Command) -> Command:
    """Give a command the options that say where its work runs."""
    for option in reversed(
        (
            click.option(
                "--engine",
                type=click.Choice(["local", "ray"]),
                default="local",
                show_default=True,
                help="Work on this machine, or on a Ray cluster (docs/cluster.md).",
            ),
            click.option(
                "--ray-address",
                metavar="HOST:PORT",
                help="Cluster to work on.  [default: RAY_ADDRESS, else one is "
                "started on this machine]",
            ),
            click.option(
                "--ray-gpu",
                type=click.FloatRange(0, 1, min_open=True),
                default=1.0,
                show_default=True,
                help="Share of a GPU for each network, where the cluster has GPUs.",
            ),
        )
    ):
        command = option(command)
    return command


def engine_from(study: Path, given: Mapping[str, Any]) -> Engine:
    """Return the engine that was asked for on the command line.

    Args:
        study: The folder that every machine must see.
        given: What click made of the options.
    """
    if given.get("engine") == "ray":
        from coverslip.pipeline.cluster import RayEngine  # few ask for a cluster

        return RayEngine(study, given["ray_address"], given["ray_gpu"])
    return LocalEngine(given.get("workers") or 1)
