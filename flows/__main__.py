"""`python -m flows VERB`: what to do, and an exit code that tells how it went.

0 done, 1 it could not be done (one sentence says why), 2 the command line is wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.prefect_defaults import make_prefect_home
from flows.prefect_server import PrefectServer
from recsys.environment import Environment
from recsys.errors import GateRefused, TandemError
from training.check import Check
from training.config import CONFIGS
from training.watch import Progress, watching

TERMINATED = 128 + signal.SIGTERM
"""The exit code shells give to a process ended by SIGTERM; leaving by it lets the store and Prefect end first."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    verb: Callable[[argparse.Namespace], None] = options.verb
    try:
        verb(options)
    except TandemError as error:
        report(error, as_json=options.json)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m flows", description="Train, publish and look at what is live.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    run = verbs.add_parser("run", help="ingest, train, evaluate, pass the gate, publish, promote")
    run.add_argument("--data", required=True, help="a folder with a dataset.toml, or such a file")
    run.add_argument("--config", choices=CONFIGS, default="full", help="how long to train; default: full")
    run.add_argument("--force", action="store_true", help="promote past the gate; what it refused is logged and kept")
    run.set_defaults(verb=run_all)
    status = verbs.add_parser("status", help="what is live")
    status.set_defaults(verb=show_status)
    for verb in (run, status):
        verb.add_argument("--json", action="store_true", help="JSON on stdout, errors too")
    return parser


def run_all(options: argparse.Namespace) -> None:
    """Run the flow; print the metric table and the generation's id."""
    from training.mapping import Mapping

    Mapping.read(options.data)  # a mistyped path is told at once
    server = PrefectServer(make_prefect_home())
    server.start()
    with watching() as watch, ExitStack() as opening:
        opening.enter_context(watch("starting Prefect"))
        from flows.ingest import file_name
        from flows.run import run  # the server starts meanwhile: both take seconds

        def first_step_ends_the_opening(step: str) -> AbstractContextManager[Progress]:
            opening.close()
            return watch(step)

        keep_traces_off_the_console()
        server.wait()
        published = run(options.data, CONFIGS[options.config](), options.force, first_step_ends_the_opening)
    if options.json:
        evaluation = json.loads(published.evaluation.to_json())
        manifest = published.manifest
        bad_rows = manifest.data["bad_rows"]
        emit(
            {
                "generation": manifest.id,
                "bytes": manifest.size,
                "bad_rows": bad_rows,
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
    if bad_rows := published.manifest.data["bad_rows"]:
        place = Environment.read().home / "quarantine" / file_name(published.manifest.data["name"])
        console.print(
            f"Set aside: {bad_rows:,} bad rows, with their reasons in {place}", highlight=False, soft_wrap=True
        )
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


def show_status(options: argparse.Namespace) -> None:
    """Print what is live."""
    from flows.status import read_status
    from recsys.store.connect import open_store

    environment = Environment.read()
    with open_store(environment) as store:
        status = read_status(store.generations(), environment.home)
    if options.json:
        emit(status.to_json())
    else:
        Console().print(status.to_table())


def keep_traces_off_the_console() -> None:
    """Errors leave a flow as exceptions, and `main` says them once; Prefect's own copy stays in its run logs."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: not record.name.startswith(("prefect.flow_runs", "prefect.task_runs")))


def report(error: TandemError, *, as_json: bool) -> None:
    """One sentence on stderr, or JSON on stdout; of a refusal each failed check, and where its report is."""
    told: dict[str, Any] = {"code": type(error).__name__, "message": str(error)}
    if isinstance(error, GateRefused):
        told |= {"failed": error.failed, "report": error.report and str(error.report)}
    if as_json:
        emit({"error": told})
        return
    print(str(error), file=sys.stderr)
    if told.get("report"):
        print(f"Report: {told['report']}", file=sys.stderr)


def emit(value: dict[str, Any]) -> None:
    """Print JSON for programs."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


if __name__ == "__main__":
    sys.exit(main())
