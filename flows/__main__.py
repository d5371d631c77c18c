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

from flows.follow import add_verbs
from flows.prefect_defaults import make_prefect_home
from flows.prefect_server import PrefectServer
from recsys.environment import Environment
from recsys.errors import GateRefused, TandemError
from recsys.store.base import LIVE, Moved
from recsys.store.connect import open_store
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
    publish = verbs.add_parser("publish", help="put a generation that was made here into the store and make it live")
    publish.add_argument("which", metavar="FOLDER_OR_ID")
    publish.add_argument("--no-promote", action="store_true", help="leave what is live; promote it later")
    publish.set_defaults(verb=publish_one)
    promote = verbs.add_parser("promote", help="make a generation of the store live")
    promote.add_argument("generation", metavar="ID")
    promote.set_defaults(verb=promote_one)
    rollback = verbs.add_parser("rollback", help="make live again what was live before")
    rollback.set_defaults(verb=roll_back)
    generations = verbs.add_parser("generations", help="what the store holds")
    generations.set_defaults(verb=show_generations)
    delete = verbs.add_parser("delete", help="remove a generation that no alias names from the store")
    delete.add_argument("generation", metavar="ID")
    delete.set_defaults(verb=delete_one)
    pin = verbs.add_parser("pin", help="let the next bento hold a generation, so that it serves with Redis away")
    pin.add_argument("generation", metavar="ID", nargs="?", help="default: what is live; where nothing is, none")
    pin.set_defaults(verb=pin_one)
    status = verbs.add_parser("status", help="what is live")
    status.set_defaults(verb=show_status)
    for verb in (run, publish, promote, rollback, generations, delete, pin, status, *add_verbs(verbs)):
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


def publish_one(options: argparse.Namespace) -> None:
    """Publish a generation that was made here."""
    from flows.verbs import publish, told
    from recsys.trial import try_out

    environment, promote = Environment.read(), not options.no_promote
    with open_store(environment) as store, watching() as watch:
        done = publish(options.which, store.generations(), environment, watch, promote=promote, smoke=try_out)
    if options.json:
        emit(asdict(done))
        return
    print(f"Published: {done.generation}, {done.bytes / 2**20:.1f} MiB")
    if done.deleted:
        print(f"Deleted: {', '.join(done.deleted)}")
    print(told(done.moved) if done.moved else f"To make it live: python -m flows promote {done.generation}")


def promote_one(options: argparse.Namespace) -> None:
    """Make a generation live."""
    from flows.verbs import promote

    with open_store(Environment.read()) as store:
        tell_move(promote(options.generation, store.generations()), as_json=options.json)


def roll_back(options: argparse.Namespace) -> None:
    """Make live again what was live before."""
    with open_store(Environment.read()) as store:
        tell_move(store.generations().rollback(), as_json=options.json)


def tell_move(moved: Moved, *, as_json: bool) -> None:
    """Say from where to where an alias moved."""
    from flows.verbs import told

    if as_json:
        emit(asdict(moved))
    else:
        print(told(moved))


def show_generations(options: argparse.Namespace) -> None:
    """Print every generation in the store."""
    from flows.generations import holders, list_generations, to_json, to_table

    with open_store(Environment.read()) as store:
        rows = list_generations(store.generations(), lambda: holders(store.board()))
    if options.json:
        emit(to_json(rows))
    elif rows:
        Console().print(to_table(rows))
    else:
        print("The store holds no generation yet. Train and publish with: python -m flows run --data DIR")


def delete_one(options: argparse.Namespace) -> None:
    """Remove a generation from the store."""
    from flows.verbs import delete

    with open_store(Environment.read()) as store:
        delete(options.generation, store.generations())
    if options.json:
        emit({"deleted": options.generation})
    else:
        print(f"Deleted: {options.generation}")


def pin_one(options: argparse.Namespace) -> None:
    """Save a generation in the model store and name it for the next build."""
    from flows.model_store import ModelStore, unpin

    environment = Environment.read()
    generation = options.generation
    if generation is None:
        with open_store(environment) as store:
            generation = store.generations().alias(LIVE)
    model = ModelStore(environment).pin(generation) if generation else None
    if model is None:
        unpin()
    if options.json:
        emit({"model": model})
    else:
        print(f"The next bento holds {model}." if model else "Nothing is live: the next bento holds no generation.")


def show_status(options: argparse.Namespace) -> None:
    """Print what is live."""
    from flows.status import read_status

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
