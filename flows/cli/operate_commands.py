"""The operating commands of `python -m flows`: publish, promote, rollback, generations, delete, pin, status,
runs and users.

Most act on a generation, one trained set of models and tables. None imports Prefect: a rollback takes one second
instead of ten.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from typing import Any

from flows.cli.output import print_result
from flows.operate.canaries import STEP_SECONDS, begin, describe, duration, steps_of
from recsys.environment import Environment
from recsys.errors import ExperimentError
from recsys.process.command_exit import interruptible_imports
from recsys.store.from_environment import open_store
from recsys.store.stored_types import LIVE
from training.progress import terminal_progress


def add_verbs(verbs: Any) -> list[argparse.ArgumentParser]:
    """Add these commands to the command line and return their parsers."""
    parsers = []
    for name, run, text in (
        ("publish", publish_generation, "put a generation of this host into the store and make it live"),
        ("promote", promote_generation, "make a generation of the store live"),
        ("rollback", roll_back, "make the previous generation live again"),
        ("generations", show_generations, "list the generations of the store"),
        ("delete", delete_generation, "remove a generation that no alias names from the store"),
        ("pin", pin_generation, "include a generation in the next bento, which then serves without Redis"),
        ("status", show_status, "show what is live"),
        ("runs", show_runs, "show the last run of each flow"),
        ("users", show_users, "print ids of users of the live generation, one a line, 16,000 at most"),
    ):
        parsers.append(parser := verbs.add_parser(name, help=text))
        parser.set_defaults(verb=run)
        if name in ("promote", "delete"):
            parser.add_argument("generation", metavar="ID")
            if name == "promote":
                parser.add_argument(
                    "--canary", type=steps_of, metavar="STEPS", help="percents of the users, such as 5,25,100"
                )
                parser.add_argument("--every", type=duration, metavar="TIME", help="of each step; default: 30min")
        elif name == "pin":
            parser.add_argument(
                "generation", metavar="ID", nargs="?", help="default: what is live; where nothing is, none"
            )
        elif name == "publish":
            parser.add_argument("which", metavar="FOLDER_OR_ID")
            parser.add_argument("--no-promote", action="store_true", help="do not change what is live")
    return parsers


def publish_generation(options: argparse.Namespace) -> None:
    """Publish a generation of this host."""
    with interruptible_imports():
        from flows.forgetting.generations_lock import generations_lock
        from flows.operate.publish_and_promote import describe_move, publish
        from recsys.generation.loader import check_servable

    environment = Environment.read()
    with open_store(environment) as store, terminal_progress() as progress:
        generations, promote = store.generations(), not options.no_promote
        with generations_lock(environment.folder("generations")):
            result = publish(options.which, generations, environment, progress, promote=promote, smoke=check_servable)
    lines = [f"Published: {result.generation}, {result.bytes / 2**20:.1f} MiB"]
    if result.deleted:
        lines.append(f"Deleted: {', '.join(result.deleted)}")
    next_command = f"To make it live: python -m flows promote {result.generation}"
    print_result(options, asdict(result), *lines, describe_move(result.moved) if result.moved else next_command)


def promote_generation(options: argparse.Namespace) -> None:
    """Make a generation live, or start its canary."""
    from flows.operate.publish_and_promote import describe_move, promote

    if options.every and not options.canary:
        raise ExperimentError("--every is the time of a canary's steps: add --canary 5,25,100, or leave --every out.")
    with open_store(Environment.read()) as store:
        if options.canary:
            experiment = begin(options.generation, options.canary, options.every or STEP_SECONDS, store)
            print_result(options, experiment.model_dump(mode="json"), describe(experiment))
            return
        move = promote(options.generation, store.generations())
    print_result(options, asdict(move), describe_move(move))


def roll_back(options: argparse.Namespace) -> None:
    """Make the previous generation live again."""
    from flows.operate import publish_and_promote
    from flows.operate.publish_and_promote import describe_move

    with open_store(Environment.read()) as store:
        move = publish_and_promote.roll_back(store.generations())
    print_result(options, asdict(move), describe_move(move))


def show_generations(options: argparse.Namespace) -> None:
    """Print every generation of the store."""
    from flows.operate.generations import holder_lines, holders, list_generations, to_table

    with open_store(Environment.read()) as store:
        rows = list_generations(store.generations(), holders(store.registry()))
    empty = "The store holds no generation yet. Train and publish with: python -m flows run --data DIR"
    lines = [to_table(rows), *holder_lines(rows)] if rows else [empty]
    print_result(options, {"generations": [asdict(row) for row in rows]}, *lines)


def delete_generation(options: argparse.Namespace) -> None:
    """Remove a generation from the store."""
    from flows.operate.publish_and_promote import delete

    with open_store(Environment.read()) as store:
        delete(options.generation, store.generations())
    print_result(options, {"deleted": options.generation}, f"Deleted: {options.generation}")


def pin_generation(options: argparse.Namespace) -> None:
    """Include a generation in the next bento."""
    from flows.operate.pinning import pin

    environment, generation = Environment.read(), options.generation
    if generation is None:
        with open_store(environment) as store:
            generation = store.generations().alias(LIVE)
    model = pin(generation, environment)
    pinned = f"The next bento holds {model}." if model else "Nothing is live: the next bento holds no generation."
    print_result(options, {"model": model}, pinned)


def show_status(options: argparse.Namespace) -> None:
    """Print what is live."""
    from flows.operate.status import read_status, to_table

    environment = Environment.read()
    with open_store(environment) as store:
        status = read_status(store.generations(), environment.home)
    print_result(options, asdict(status), to_table(status))


def show_runs(options: argparse.Namespace) -> None:
    """Print the last run of each flow."""
    from flows.operate.runs import to_table

    now = time.time()
    with open_store(Environment.read()) as store:
        last = [records[0] for records in store.runs().read().values() if records]
    rows = [asdict(record) | {"state": record.state_at(now)} for record in last]
    print_result(options, {"runs": rows}, to_table(last, now) if last else "No flow has run yet (docs/flows.md).")


def show_users(options: argparse.Namespace) -> None:
    """Print users of the live generation."""
    from flows.operate.status import live_users

    with open_store(Environment.read()) as store:
        users = live_users(store.generations(), store.flows())
    print_result(options, {"users": users}, "\n".join(user for user in users if user.splitlines() == [user]))
