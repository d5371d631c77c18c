"""The command `python -m flows run`: train on a dataset, publish the trained models and make them live."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.cli.engine_options import add_engine_options, use_engine
from flows.cli.kernel_compilation import compiling_kernels
from flows.cli.output import print_json
from flows.cli.prefect_api import prefect_imports
from recsys.process.command_exit import interruptible_imports
from training.judge.gate.check import Check
from training.options import add_training_options, config_of, parsed
from training.progress import terminal_progress

if TYPE_CHECKING:
    from flows.train import TrainResult


def add_verbs(verbs: Any) -> list[argparse.ArgumentParser]:
    """Add the command to the command line and return its parser."""
    run = verbs.add_parser("run", help="ingest, train, evaluate, pass the gate, publish, promote")
    run.add_argument("--data", required=True, help="a folder with a dataset.toml, or such a file")
    add_training_options(run)
    add_engine_options(run)
    run.add_argument("--force", action="store_true", help="promote although the gate refuses; the refusal is logged")
    run.set_defaults(verb=run_training, own_session=True)
    return [run]


def run_training(options: argparse.Namespace) -> None:
    """Run the flow `train`; of several processes that torchrun started, one runs it and all train."""
    with interruptible_imports():
        from training.read.mapping import Mapping
        from training.read.table_reader import check_columns

    use_engine(options)
    mapping = Mapping.read(options.data)  # a wrong path, setting or column is an error before Prefect starts
    config_of(options, mapping.training, f"[training] of {mapping.path}")
    overrides = parsed(options.overrides) | ({"device": options.device} if options.device else {})
    check_columns(mapping)
    with interruptible_imports():
        from training.processes import process_group  # imports torch
    with process_group.joined() as runs:
        if runs:
            run_flow(options, overrides)


def run_flow(options: argparse.Namespace, overrides: dict[str, Any]) -> None:
    """Run the flow and print its result."""
    with compiling_kernels():
        with ExitStack() as opened:
            progress = opened.enter_context(terminal_progress())
            with progress.step("starting Prefect"), prefect_imports(opened.close):
                from prefect import tags

                from flows.orchestration import TAG
                from flows.train import run
        with tags(TAG):
            result = run(options.data, options.config, overrides, options.force)
    if options.json:
        print_json(to_json(result))
    else:
        print_result(result)


def to_json(result: TrainResult) -> dict[str, Any]:
    """The result for programs."""
    manifest = result.manifest
    return {
        "generation": manifest.id,
        "bytes": manifest.size,
        "bad_rows": manifest.data["bad_rows"],
        "duplicates": manifest.data["duplicates"],
        "collected": manifest.data["collected"],
        "notes": result.notes,
        "evaluation": json.loads(result.evaluation.to_json()),
        "gate": [asdict(check) for check in result.checks],
        "forced": manifest.forced,
        "report": result.report and str(result.report),
    }


def print_result(result: TrainResult) -> None:
    """Print the metric table, the checks of the gate, notes and the id of the generation."""
    console = Console()
    console.print(result.evaluation.to_table())
    console.print(gate_table(result.checks))
    for note in result.notes:
        console.print(f"Note: {note}", highlight=False, markup=False, soft_wrap=True)
    for line in result.manifest.forced:
        console.print(f"Forced past the gate: {line}", style="bold red", highlight=False, markup=False)
    if result.report:
        console.print(f"Report: {result.report}", highlight=False, soft_wrap=True)
    console.print(f"Live: [bold]{result.manifest.id}[/bold]", highlight=False)


def gate_table(checks: Sequence[Check]) -> Table:
    """The checks of the gate, one in each row."""
    table = Table(title="the gate", show_header=False)
    marks = {"passed": "[green]passed[/]", "failed": "[bold red]failed[/]", "not judged": "[dim]not judged[/]"}
    for check in checks:
        table.add_row(marks[check.verdict], escape(check.sentence))
    return table
