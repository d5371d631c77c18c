"""The operating verbs. None of them imports Prefect, so that a rollback takes a second and not ten."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from rich.console import Console

from flows.cli.output import emit
from recsys.environment import Environment
from recsys.process.interruption import interruptible_imports
from recsys.store.from_environment import open_store
from recsys.store.ports import LIVE, AliasMove
from training.progress import terminal_progress


def add_verbs(verbs: Any) -> list[argparse.ArgumentParser]:
    """Add the verbs to the command line; their parsers."""
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
    users = verbs.add_parser("users", help="ids of users of the live generation, one a line, 16,000 at most")
    users.set_defaults(verb=show_users)
    return [publish, promote, rollback, generations, delete, pin, status, users]


def publish_one(options: argparse.Namespace) -> None:
    """Publish a generation that was made here."""
    with interruptible_imports():
        from flows.operate.verbs import publish, told
        from recsys.generation.loader import check_servable

    environment, promote = Environment.read(), not options.no_promote
    with open_store(environment) as store, terminal_progress() as progress:
        done = publish(options.which, store.generations(), environment, progress, promote=promote, smoke=check_servable)
    if options.json:
        emit(asdict(done))
        return
    print(f"Published: {done.generation}, {done.bytes / 2**20:.1f} MiB")
    if done.deleted:
        print(f"Deleted: {', '.join(done.deleted)}")
    print(told(done.moved) if done.moved else f"To make it live: python -m flows promote {done.generation}")


def promote_one(options: argparse.Namespace) -> None:
    """Make a generation live."""
    from flows.operate.verbs import promote

    with open_store(Environment.read()) as store:
        tell_move(promote(options.generation, store.generations()), as_json=options.json)


def roll_back(options: argparse.Namespace) -> None:
    """Make live again what was live before."""
    with open_store(Environment.read()) as store:
        tell_move(store.generations().rollback(), as_json=options.json)


def tell_move(moved: AliasMove, *, as_json: bool) -> None:
    """Say from where to where an alias moved."""
    from flows.operate.verbs import told

    if as_json:
        emit(asdict(moved))
    else:
        print(told(moved))


def show_generations(options: argparse.Namespace) -> None:
    """Print every generation in the store."""
    from flows.operate.generations import holders, list_generations, to_json, to_table, who_holds

    with open_store(Environment.read()) as store:
        rows = list_generations(store.generations(), lambda: holders(store.board()))
    if options.json:
        emit(to_json(rows))
    elif rows:
        Console().print(to_table(rows))
        for line in who_holds(rows):
            print(line)
    else:
        print("The store holds no generation yet. Train and publish with: python -m flows run --data DIR")


def delete_one(options: argparse.Namespace) -> None:
    """Remove a generation from the store."""
    from flows.operate.verbs import delete

    with open_store(Environment.read()) as store:
        delete(options.generation, store.generations())
    if options.json:
        emit({"deleted": options.generation})
    else:
        print(f"Deleted: {options.generation}")


def pin_one(options: argparse.Namespace) -> None:
    """Save a generation in the model store and name it for the next build."""
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
        emit({"model": model})
    else:
        print(f"The next bento holds {model}." if model else "Nothing is live: the next bento holds no generation.")


def show_status(options: argparse.Namespace) -> None:
    """Print what is live."""
    from flows.operate.status import read_status

    environment = Environment.read()
    with open_store(environment) as store:
        status = read_status(store.generations(), environment.home)
    if options.json:
        emit(status.to_json())
    else:
        Console().print(status.to_table())


def show_users(options: argparse.Namespace) -> None:
    """Print users of the live generation."""
    from flows.operate.live_users import live_users

    with open_store(Environment.read()) as store:
        users = live_users(store.generations(), store.flows())
    if options.json:
        emit({"users": users})
    else:
        print("\n".join(user for user in users if user.splitlines() == [user]))
