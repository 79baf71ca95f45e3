"""`cellbench doctor`."""

from __future__ import annotations

import json

import click

from cellbench.cli.options import choose_device, device_option

BUSY = 0.5
"""Load average, as a share of the CPUs, above which timings are disturbed."""


@click.command(name="doctor")
@device_option
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table")
def command(device: str, form: str) -> None:
    """Say what this machine is, and what may disturb a measurement."""
    import torch

    from cellbench.measure.environment import environment, load_average, usable_cpus
    from cellbench.measure.precision import set_precision
    from cellbench.sweep.run import MEASURING_THREADS

    set_precision()
    torch.set_num_threads(MEASURING_THREADS)
    found = environment(torch.device(choose_device(device)), "float32", MEASURING_THREADS)
    warnings = disturbances(load_average(), usable_cpus(), found.facts["machine"]["governor"])
    if form == "json":
        facts = {"key": found.key, "facts": found.facts, "warnings": warnings}
        click.echo(json.dumps(facts, indent=2))
        return
    click.echo("What must agree before two speeds are compared:")
    _print({name: text for name, text in found.key.items() if text})
    click.echo("What else there is:")
    _print({name: text for name, text in _flat("", found.facts) if text})
    for warning in warnings:
        click.echo(f"! {warning}")
    if not warnings:
        click.echo("Nothing found that would disturb a measurement.")


def disturbances(load: float | None, cpus: int, governor: str) -> list[str]:
    """Say what would disturb a measurement, and what to do.

    Args:
        load: Load average; None where unknown.
        cpus: That may be used.
        governor: Of the CPU's frequency; "" where unknown.
    """
    warnings = []
    if load is not None and load > BUSY * cpus:
        warnings.append(f"load average is {load} on {cpus} CPUs; close other programs, or wait")
    if governor not in ("", "performance"):
        warnings.append(f"the CPU governor is {governor!r}; `performance` gives steadier times")
    return warnings


def _print(facts: dict[str, str]) -> None:
    width = max(map(len, facts))
    for name, text in facts.items():
        click.echo(f"  {name:{width}}  {text}")


def _flat(prefix: str, value: object) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        parts = [_flat(f"{prefix}.{key}" if prefix else key, item) for key, item in value.items()]
        return [pair for part in parts for pair in part]
    return [(prefix, str(value))]
