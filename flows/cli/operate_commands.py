"""The operating verbs: publish, promote, rollback, generations, delete, pin, status and users.

They do not import Prefect: a rollback takes one second instead of ten.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from rich.console import Console

from flows.cli.output import print_json
from recsys.environment import Environment
from recsys.process.interruption import interruptible_imports
from recsys.store.from_environment import open_store
from recsys.store.ports import LIVE, AliasMove
from training.progress import terminal_progress


def add_verbs(verbs: Any) -> list[argparse.ArgumentParser]:
    """Add the verbs to the command line and return their parsers."""
    publish = verbs.add_parser("publish", help="put a generation of this host into the store and make it live")
    publish.add_argument("which", metavar="FOLDER_OR_ID")
    publish.add_argument("--no-promote", action="store_true", help="do not change what is live")
    publish.set_defaults(verb=publish_generation)
    promote = verbs.add_parser("promote", help="make a generation of the store live")
    promote.add_argument("generation", metavar="ID")
    promote.set_defaults(verb=promote_generation)
    rollback = verbs.add_parser("rollback", help="make the previous generation live again")
    rollback.set_defaults(verb=roll_back)
    generations = verbs.add_parser("generations", help="list the generations of the store")
    generations.set_defaults(verb=show_generations)
    delete = verbs.add_parser("delete", help="remove a generation that no alias names from the store")
    delete.add_argument("generation", metavar="ID")
    delete.set_defaults(verb=delete_generation)
    pin = verbs.add_parser("pin", help="include a generation in the next bento, which then serves without Redis")
    pin.add_argument("generation", metavar="ID", nargs="?", help="default: what is live; where nothing is, none")
    pin.set_defaults(verb=pin_generation)
    status = verbs.add_parser("status", help="show what is live")
    status.set_defaults(verb=show_status)
    users = verbs.add_parser("users", help="print ids of users of the live generation, one a line, 16,000 at most")
    users.set_defaults(verb=show_users)
    return [publish, promote, rollback, generations, delete, pin, status, users]


def publish_generation(options: argparse.Namespace) -> None:
    """Publish a generation of this host."""
    with interruptible_imports():
        from flows.operate.publish_and_promote import describe_move, publish
        from recsys.generation.loader import check_servable

    environment = Environment.read()
    with open_store(environment) as store, terminal_progress() as progress:
        generations, promote = store.generations(), not options.no_promote
        result = publish(options.which, generations, environment, progress, promote=promote, smoke=check_servable)
    if options.json:
        print_json(asdict(result))
        return
    print(f"Published: {result.generation}, {result.bytes / 2**20:.1f} MiB")
    if result.deleted:
        print(f"Deleted: {', '.join(result.deleted)}")
    next_command = f"To make it live: python -m flows promote {result.generation}"
    print(describe_move(result.moved) if result.moved else next_command)


def promote_generation(options: argparse.Namespace) -> None:
    """Make a generation live."""
    from flows.operate.publish_and_promote import promote

    with open_store(Environment.read()) as store:
        _print_move(promote(options.generation, store.generations()), as_json=options.json)


def roll_back(options: argparse.Namespace) -> None:
    """Make the previous generation live again."""
    with open_store(Environment.read()) as store:
        _print_move(store.generations().rollback(), as_json=options.json)


def _print_move(move: AliasMove, *, as_json: bool) -> None:
    from flows.operate.publish_and_promote import describe_move

    if as_json:
        print_json(asdict(move))
    else:
        print(describe_move(move))


def show_generations(options: argparse.Namespace) -> None:
    """Print every generation of the store."""
    from flows.operate.generations import holder_lines, holders, list_generations, to_table

    with open_store(Environment.read()) as store:
        rows = list_generations(store.generations(), holders(store.board()))
    if options.json:
        print_json({"generations": [asdict(row) for row in rows]})
    elif rows:
        Console().print(to_table(rows))
        for line in holder_lines(rows):
            print(line)
    else:
        print("The store holds no generation yet. Train and publish with: python -m flows run --data DIR")


def delete_generation(options: argparse.Namespace) -> None:
    """Remove a generation from the store."""
    from flows.operate.publish_and_promote import delete

    with open_store(Environment.read()) as store:
        delete(options.generation, store.generations())
    if options.json:
        print_json({"deleted": options.generation})
    else:
        print(f"Deleted: {options.generation}")


def pin_generation(options: argparse.Namespace) -> None:
    """Save a generation in BentoML's model store and name it for the next build."""
    from flows.operate.model_store import ModelStore

    environment = Environment.read()
    generation = options.generation
    if generation is None:
        with open_store(environment) as store:
            generation = store.generations().alias(LIVE)
    models = ModelStore(environment)
    model = models.pin(generation) if generation else None
    if model is None:
        models.unpin()
    if options.json:
        print_json({"model": model})
    else:
        print(f"The next bento holds {model}." if model else "Nothing is live: the next bento holds no generation.")


def show_status(options: argparse.Namespace) -> None:
    """Print what is live."""
    from flows.operate.status import read_status, to_table

    environment = Environment.read()
    with open_store(environment) as store:
        status = read_status(store.generations(), environment.home)
    if options.json:
        print_json(asdict(status))
    else:
        Console().print(to_table(status))


def show_users(options: argparse.Namespace) -> None:
    """Print users of the live generation."""
    from flows.operate.status import live_users

    with open_store(Environment.read()) as store:
        users = live_users(store.generations(), store.flows())
    if options.json:
        print_json({"users": users})
    else:
        print("\n".join(user for user in users if user.splitlines() == [user]))
