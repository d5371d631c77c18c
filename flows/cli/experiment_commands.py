"""The commands `python -m flows experiment`: create, start, ramp, pause, stop, list, show and report experiments.

An experiment gives a part of the users an arm, a variant of the recommendations. None of these commands imports
Prefect, except `report`, and where users move into an arm whose lists must be made first.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flows.cli.output import print_result
from flows.cli.prefect_api import prefect_imports
from flows.operate.experiments import (
    check_context,
    check_surfaces,
    live_spec,
    needs_lists,
    ramp_or_start,
    read_file,
    shares,
    state,
    to_table,
    to_text,
)
from recsys.environment import Environment
from recsys.errors import ExperimentError
from recsys.experiments import changes
from recsys.experiments.document import ExperimentsDocument
from recsys.store.from_environment import open_store
from recsys.store.stored_types import LIVE


def add_verbs(verbs: Any) -> list[argparse.ArgumentParser]:
    """Add these commands to the command line and return their parsers."""
    experiment = verbs.add_parser("experiment", help="compare recommendations on a part of the users")
    actions = experiment.add_subparsers(required=True, metavar="ACTION")
    parsers = {}
    for name, run, text in (
        ("create", create, "add the experiment of a TOML or JSON file, without users"),
        ("start", start, "run an experiment; ramp gives it users"),
        ("ramp", ramp, "set the part of each arm's share that is in force"),
        ("pause", pause, "give all users the control, until the next start"),
        ("stop", stop, "end an experiment for good"),
        ("list", show_all, "list the experiments"),
        ("show", show, "print an experiment and its history, as create reads it"),
        ("report", report, "read an experiment from drained slates: a verdict, a page and Parquet"),
    ):
        parsers[name] = actions.add_parser(name, help=text)
        parsers[name].set_defaults(verb=run, own_session=name in ("start", "ramp", "report"))  # these may run a flow
    parsers["create"].add_argument("file", type=Path, metavar="FILE")
    for name in ("start", "ramp", "pause", "stop", "show"):
        parsers[name].add_argument("name", metavar="NAME")
    parsers["ramp"].add_argument("percent", type=_percent, metavar="PERCENT")
    which = parsers["report"].add_mutually_exclusive_group(required=True)
    which.add_argument("name", metavar="NAME", nargs="?")
    which.add_argument(
        "--all", action="store_true", help="all that run; halts arms by click_rate_drop and sample_ratio"
    )
    parsers["report"].add_argument("--since", metavar="TIME", help="begin, UTC: 2026-12-01; default: the last ramp")
    return [*parsers.values()]


def create(options: argparse.Namespace) -> None:
    """Add an experiment."""
    definition, environment = read_file(options.file), Environment.read()
    note = check_surfaces(definition, environment)
    with open_store(environment) as store:
        if definition.audience.context and (spec := live_spec(store.generations())):
            check_context(definition, [column for column, _ in spec.contexts])
        change = changes.unless_changed(
            definition.name, lambda document: changes.create(document, definition, time.time())
        )
        document = store.experiments().change(change)
    next_command = f"python -m flows experiment start {definition.name}"
    lines = [f"Created: {definition.name}. To start it: {next_command}", *([note] if note else [])]
    _print(options, document, definition.name, *lines)


def start(options: argparse.Namespace) -> None:
    """Run an experiment."""
    document, lists = _move(options.name, None)
    experiment = document.experiments[options.name]
    lines = [f"{options.name} is {state(experiment)}."]
    if experiment.definition.assignment == "salt" and experiment.ramp == 0:
        lines.append(f"To give it users: python -m flows experiment ramp {options.name} 5")
    _print(options, document, options.name, *lines, lists=lists)


def ramp(options: argparse.Namespace) -> None:
    """Set the ramp."""
    document, lists = _move(options.name, options.percent)
    experiment = document.experiments[options.name]
    line = f"{options.name} is at {changes.percent(experiment.ramp)}. Users in arms: {shares(experiment)}."
    _print(options, document, options.name, line, lists=lists)


def pause(options: argparse.Namespace) -> None:
    """Give all users the control."""
    _end(options, changes.pause, f"Paused: {options.name}.")


def stop(options: argparse.Namespace) -> None:
    """End an experiment."""
    _end(options, changes.stop, f"Stopped: {options.name}.")


def show_all(options: argparse.Namespace) -> None:
    """Print all experiments."""
    with open_store(Environment.read()) as store:
        document = store.experiments().read()
    empty = "There is no experiment yet. Create one: python -m flows experiment create FILE"
    table = to_table(document.experiments.values()) if document.experiments else empty
    print_result(options, document.model_dump(mode="json"), table)


def show(options: argparse.Namespace) -> None:
    """Print an experiment."""
    with open_store(Environment.read()) as store:
        document = store.experiments().read()
    experiment = changes.found(document, options.name)
    print_result(options, experiment.model_dump(mode="json"), to_text(experiment))


def report(options: argparse.Namespace) -> None:
    """Run the flow `experiment-report`, or `experiment-reports` for all."""
    with prefect_imports():
        from flows.experiment_report import experiment_report, experiment_reports
        from training.experiments.experiment_page import assignment_table, group_table, lift_table
        from training.read.mapping import stated_moment
    if options.all and options.since:
        raise ExperimentError("--since is for one experiment: name it in place of --all.")
    if options.all:
        done = experiment_reports()
        lines = [f"{name}: {verdict}" for name, verdict in done.verdicts.items()] or ["No arm has users."]
        print_result(options, asdict(done), *lines, *(f"Halted {arm}: {why}" for arm, why in done.halted.items()))
        return
    since = None if options.since is None else stated_moment(options.since, "--since")
    result = experiment_report(options.name, since)
    tables = [group_table(*each) for each in result.reading.segments.items()]
    noted = lift_table(result.reading), assignment_table(result.reading)
    lines = [result.verdict, *(table.text() for table in tables)]
    lines += [f"{table.text()}\n{table.note}" for table in noted]
    print_result(options, asdict(result), "\n\n".join(lines), f"\nPage: {result.page}", f"Rows: {result.rows}")


def _move(name: str, percent: float | None) -> tuple[ExperimentsDocument, int]:
    """Ramp or start an experiment, after the lists of the users who move are made; return how many lists."""
    change, environment = ramp_or_start(name, percent), Environment.read()
    with open_store(environment) as store:
        experiments, live = store.experiments(), store.generations().alias(LIVE)
        if not needs_lists(experiments.read(), change, name, live):
            return experiments.change(change), 0
    with prefect_imports():
        from flows import ramp
    made = ramp.ramp(name, percent)
    with open_store(environment) as store:
        return store.experiments().read(), made.lists


def _end(
    options: argparse.Namespace, change: Callable[[ExperimentsDocument, str, float], ExperimentsDocument], line: str
) -> None:
    """Pause or stop an experiment."""
    ended = changes.unless_changed(options.name, lambda document: change(document, options.name, time.time()))
    with open_store(Environment.read()) as store:
        document = store.experiments().change(ended)
    _print(options, document, options.name, f"{line} All users get the control.")


def _print(options: argparse.Namespace, document: ExperimentsDocument, name: str, *lines: str, lists: int = 0) -> None:
    """Print the experiment as JSON, or some lines."""
    value = document.experiments[name].model_dump(mode="json")
    if lists:
        lines = (*lines, f"Lists made before its users moved: {lists:,}.")
    print_result(options, value | {"lists": lists}, *lines)


def _percent(text: str) -> float:
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = math.nan
    if 0 <= value <= 100:
        return value
    raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 100")
