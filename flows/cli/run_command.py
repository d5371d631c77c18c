"""`run`: the whole way from a dataset to a live generation, and what is said of it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.cli.output import emit
from flows.cli.prefect_api import started
from flows.kernel_warm_up import rehearsing
from recsys.process.interruption import interruptible_imports
from training.gate.check import Check
from training.options import add_training_options, config_of, parsed
from training.progress import terminal_progress


def add_verbs(verbs: Any) -> list[argparse.ArgumentParser]:
    """Add the verb to the command line; its parser."""
    run = verbs.add_parser("run", help="ingest, train, evaluate, pass the gate, publish, promote")
    run.add_argument("--data", required=True, help="a folder with a dataset.toml, or such a file")
    add_training_options(run)
    run.add_argument("--force", action="store_true", help="promote past the gate; what it refused is logged and kept")
    run.set_defaults(verb=run_all, apart=True)
    return [run]


def run_all(options: argparse.Namespace) -> None:
    """Run the flow; print the metric table and the generation's id."""
    with interruptible_imports():
        from training.data.mapping import Mapping
        from training.data.reading.table_reader import check_columns

    mapping = Mapping.read(options.data)  # before Prefect starts: a wrong path, setting or column is an error at once
    config_of(options, mapping.training, f"[training] of {mapping.path}")
    overrides = parsed(options.overrides) | ({"device": options.device} if options.device else {})
    check_columns(mapping)
    with rehearsing():
        with ExitStack() as shown:
            progress = shown.enter_context(terminal_progress())
            with progress.step("starting Prefect"), started(shown.close):
                from prefect import tags

                from flows.orchestration import TAG
                from flows.train import run
        with tags(TAG):
            published = run(options.data, options.config, overrides, options.force)
    if options.json:
        evaluation = json.loads(published.evaluation.to_json())
        manifest = published.manifest
        bad_rows = manifest.data["bad_rows"]
        emit(
            {
                "generation": manifest.id,
                "bytes": manifest.size,
                "bad_rows": bad_rows,
                "duplicates": manifest.data["duplicates"],
                "notes": published.notes,
                "evaluation": evaluation,
                "gate": [asdict(check) for check in published.checks],
                "forced": manifest.forced,
                "report": published.report and str(published.report),
            }
        )
        return
    console = Console()
    console.print(published.evaluation.to_table())
    console.print(gate_table(published.checks))
    for warning in published.evaluation.warnings:
        console.print(f"Note: {warning}", highlight=False)
    for line in published.notes:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for line in published.manifest.forced:
        console.print(f"Forced past the gate: {line}", style="bold red", highlight=False, markup=False)
    if published.report:
        console.print(f"Report: {published.report}", highlight=False, soft_wrap=True)
    console.print(f"Live: [bold]{published.manifest.id}[/bold]", highlight=False)


def gate_table(checks: Sequence[Check]) -> Table:
    """Every check of the gate, a line each."""
    table = Table(title="the gate", show_header=False)
    marks = {"passed": "[green]passed[/]", "failed": "[bold red]failed[/]", "not judged": "[dim]not judged[/]"}
    for check in checks:
        table.add_row(marks[check.verdict], escape(check.sentence))
    return table
