"""The capacity model of Tandem, fitted to measurements of this machine: docs/scale.md explains it.

`python -m loadtests.capacity measure` measures four trainings and two deployments, and keeps each in
.tandem/capacity.json: a run that was cut measures what is missing. `check` measures sizes that the model has not seen
and exits with 1 where a prediction differs by more than 25 %. `predict --users 100M --items 10M --interactions 2G
--rate 10k` prints cores, memory, network, money, and what breaks first. Without measurements of this machine it uses
those of docs/scale.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from loadtests.bench.command_result import error_sentences
from loadtests.bench.figures import machine
from loadtests.capacity.curves import Curve, Measured, Measurements, Size, fit_all
from loadtests.capacity.measurement import serving, training
from loadtests.capacity.needs import needs, needs_table
from loadtests.cost_check import Prediction, checked
from loadtests.options import count, number
from loadtests.slo import BROKEN, ROOT
from recsys.environment import Environment
from recsys.files.atomic_write import atomic_write
from training.advisor.cost import Workload
from training.report.page import Table

PUBLISHED = Path(__file__).with_name("measurements.json")
"""The measurements of docs/scale.md."""

TRAININGS = (100_000, 20_000), (300_000, 100_000), (1_000_000, 50_000), (1_000_000, 200_000)
UNSEEN_TRAININGS = (500_000, 50_000), (700_000, 200_000)
"""Interactions and items of a log."""

DEPLOYMENTS, UNSEEN_DEPLOYMENTS = (10_000, 150_000), (25_000, 100_000)
"""Items."""

LIMIT = 0.25
"""The largest difference of a prediction, as a share of the measured value."""

LARGE = 0.1
"""Share of a training's CPU from which a step is checked by itself."""


def prepare() -> None:
    """Compile the kernels, and let no thread spin while it waits: neither is a cost of a size."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    subprocess.run([sys.executable, "-m", "training.warm_kernels"], cwd=ROOT, check=True)


def measure(path: Path) -> None:
    """Measure the sizes that the file lacks."""
    on = machine()
    words = f"{on['cpus']} cores ({on['model']})"
    found = Measurements.read(path) if path.exists() else Measurements(words, [])
    trained = {(each.size.interactions, each.size.items) for each in found.seen if "read CPU s" in each.values}
    deployed = {each.size.items for each in found.seen if "slate CPU ms" in each.values}
    for size in TRAININGS:
        if size not in trained:
            keep(found, training(*size), path)
    for items in DEPLOYMENTS:
        if items not in deployed:
            keep(found, serving(items), path)
    print(formulas(fit_all(found.seen), found.seen).text())


def keep(found: Measurements, new: Measured, path: Path) -> None:
    """Add a measurement to the file."""
    found.seen.append(new)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as draft:
        draft.write_text(json.dumps(asdict(found), indent=1), encoding="utf-8")


def formulas(curves: dict[str, Curve], seen: Iterable[Measured]) -> Table:
    """Each formula with its largest difference at a measured size."""
    rows = []
    for name, curve in curves.items():
        errors = [abs(curve.at(each.size) / each.values[name] - 1) for each in seen if name in each.values]
        rows.append([name, curve.formula(), f"{max(errors):.0%}"])
    return Table("Events, items and users in millions", ["", "formula", "off by"], rows)


def check(curves: dict[str, Curve]) -> bool:
    """Measure unseen sizes; whether every prediction held."""
    held = True
    for size in UNSEEN_TRAININGS:
        held &= shown(trained_as_predicted(curves, training(*size)))
    for items in UNSEEN_DEPLOYMENTS:
        held &= shown(deployed_as_predicted(curves, serving(items)))
    return held


def shown(predictions: list[Prediction]) -> bool:
    """Print the predictions; whether they held."""
    print(f"{checked(predictions, 'capacity model').text()}\n", flush=True)
    return all(each.held for each in predictions)


def deployed_as_predicted(curves: dict[str, Curve], new: Measured) -> list[Prediction]:
    """Every quantity of a deployment."""
    at = f"{new.size.items:,} items"
    return [Prediction(f"{at}: {name}", curves[name].at(new.size), value, LIMIT) for name, value in new.values.items()]


def trained_as_predicted(curves: dict[str, Curve], new: Measured) -> list[Prediction]:
    """The whole CPU of a training, that of each large step, and its highest memory."""
    at = f"{new.size.interactions:,} events, {new.size.items:,} items"
    cpu = {name: value for name, value in new.values.items() if name.endswith("CPU s")}
    mib = {name: value for name, value in new.values.items() if name.endswith("MiB")}
    whole, most = sum(cpu.values()), max(mib.values())
    return [
        Prediction(f"{at}: training CPU s", sum(curves[name].at(new.size) for name in cpu), whole, LIMIT),
        *(
            Prediction(f"{at}: {name}", curves[name].at(new.size), value, LIMIT)
            for name, value in cpu.items()
            if value >= LARGE * whole
        ),
        Prediction(f"{at}: training MiB", max(curves[name].at(new.size) for name in mib), most, LIMIT),
    ]


def predict(curves: dict[str, Curve], options: argparse.Namespace) -> None:
    """Print the needs of a size."""
    size = Size(options.items, options.interactions, options.users)
    workload = Workload(
        slates=options.rate,
        peak_factor=1,
        price_core_hour=options.core_hour,
        price_gib_month=options.gib_month,
    )
    print(needs_table(needs(curves, size, workload), size, workload).text())


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    made = argparse.ArgumentParser(prog="python -m loadtests.capacity", description=__doc__)
    verbs = made.add_subparsers(dest="verb", required=True)
    verbs.add_parser("measure", help="this machine, some 20 minutes")
    verbs.add_parser("check", help="the model against sizes that it has not seen, some 15 minutes")
    wanted = verbs.add_parser("predict", help="the needs of a size")
    wanted.add_argument("--users", type=count(1, 10**10), required=True)
    wanted.add_argument("--items", type=count(1, 10**10), required=True)
    wanted.add_argument("--interactions", type=count(1, 10**13), required=True)
    wanted.add_argument("--rate", type=count(1, 10**6), required=True, help="slates a second at the peak")
    price = number(float, 0, 1e6)
    wanted.add_argument("--core-hour", type=price, default=Workload().price_core_hour, help="price of a core")
    wanted.add_argument("--gib-month", type=price, default=Workload().price_gib_month, help="price of memory")
    return made


def checked_options() -> argparse.Namespace:
    """The command line; a wrong one ends the command."""
    made = parser()
    options = made.parse_args()
    if options.verb == "predict" and options.users > options.interactions:
        made.error(f"argument --users: each user has an event, so at most --interactions {options.interactions:,}")
    return options


def main() -> int:
    """Run the command line; the exit code."""
    options = checked_options()
    path = Environment.read().home / "capacity.json"
    with error_sentences():
        if options.verb != "predict":
            prepare()
        if options.verb == "measure":
            measure(path)
            return 0
        found = Measurements.read(path if path.exists() or options.verb == "check" else PUBLISHED)
        curves = fit_all(found.seen)
        print(f"Measured on {found.machine}.\n")
        if options.verb == "check":
            return 0 if check(curves) else BROKEN
        predict(curves, options)
        return 0


if __name__ == "__main__":
    sys.exit(main())
