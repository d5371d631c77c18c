"""The commands of `python -m flows` that run jobs: refresh, batch, item-lists, drain, monitor, canary and schedule.

`refresh` and `batch` precompute lists for users, `item-lists` lists of similar items. `drain` moves logged impressions
and events to Parquet files, `monitor` halts arms of experiments that break a guardrail, `canary` takes the steps of
canaries, and `schedule` runs all jobs.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flows import DRAIN_SECONDS, REFRESH_SECONDS, WAIT_HELP, WAIT_SECONDS
from flows.cli.engine_options import add_engine_options, use_engine
from flows.cli.output import print_json
from flows.cli.prefect_api import prefect_imports, server_for_schedules, without_password
from recsys.environment import Environment
from recsys.errors import ExperimentError, GenerationError, LocationError, RulesError, StoreError
from recsys.process.command_exit import interruptible_imports
from recsys.store.from_environment import open_store

if TYPE_CHECKING:
    from flows.canary import CanaryResult
    from flows.drain import DrainResult
    from flows.lists import ListResult
    from flows.monitor import MonitorResult

MOST_SECONDS = 86_400 * 30

GATEWAY = f"http://127.0.0.1:{os.environ.get('PORT') or 3000}"
"""The gateway that `monitor` reads unless others are named: the one that `make serve` starts with the same PORT."""


def add_verbs(verbs: Any) -> list[argparse.ArgumentParser]:
    """Add these commands to the command line and return their parsers."""
    count, wait, interval = number(int, 1, 100), number(float, 0, MOST_SECONDS), number(float, 1, MOST_SECONDS)
    refresh = verbs.add_parser("refresh", help="make lists for users with new events, and update trending items")
    refresh.set_defaults(verb=refresh_lists, own_session=True)
    batch = verbs.add_parser("batch", help="make lists for all users, and write their best items as Parquet")
    batch.add_argument("--top", type=count, default=20, help="items of a user in the Parquet file; default: 20")
    batch.add_argument("--rules", help="the file of rules; default: TANDEM_RULES, or rules.toml")
    add_engine_options(batch)
    batch.set_defaults(verb=batch_lists, own_session=True, every=None)
    items = verbs.add_parser("item-lists", help="make a list of similar items for each item, also as Parquet")
    add_engine_options(items)
    items.set_defaults(verb=item_lists, own_session=True, every=None)
    drain = verbs.add_parser("drain", help="write impressions and events as Parquet")
    drain.add_argument("--wait", type=wait, default=WAIT_SECONDS, help=f"{WAIT_HELP}; default: {WAIT_SECONDS:.0f}")
    drain.set_defaults(verb=drain_impressions, own_session=True)
    monitor = verbs.add_parser("monitor", help="halt the arms of experiments that break a guardrail")
    monitor.add_argument(
        "--gateway", action="append", metavar="URL", help=f"whose /metrics to read; repeatable; default: {GATEWAY}"
    )
    monitor.add_argument("--key-file", metavar="FILE", help="a file with an API key of the scope admin")
    monitor.set_defaults(verb=watch_experiments, own_session=True)
    canary = verbs.add_parser("canary", help="take the due steps of canaries, which promote ID --canary starts")
    canary.set_defaults(verb=advance_canaries, own_session=True)
    for verb in (refresh, drain, monitor, canary):
        verb.add_argument("--every", type=interval, metavar="SECONDS", help="repeat until Ctrl-C")
    schedule = verbs.add_parser("schedule", help="run all flows, and the training, on Prefect's schedule")
    schedule.add_argument("--data", help="train every night on this folder or file")
    for name, default in (("--refresh-every", REFRESH_SECONDS), ("--drain-every", DRAIN_SECONDS)):
        schedule.add_argument(name, type=interval, default=default, metavar="SECONDS", help=f"default: {default:.0f}")
    schedule.add_argument(
        "--gateway", action="append", metavar="URL", help=f"that monitor reads; repeatable; default: {GATEWAY}"
    )
    schedule.add_argument("--key-file", metavar="FILE", help="for monitor: a file with an API key of the scope admin")
    schedule.set_defaults(verb=run_schedule)
    return [refresh, batch, items, drain, monitor, canary, schedule]


def refresh_lists(options: argparse.Namespace) -> None:
    """Run the flow `refresh`."""
    with prefect_imports():
        from flows.lists import refresh
    run_repeatedly(options, refresh, _print_lists)


def batch_lists(options: argparse.Namespace) -> None:
    """Run the flow `batch`."""
    use_engine(options)
    with prefect_imports():
        from flows.lists import batch
    run_repeatedly(options, lambda: batch(options.top, options.rules), _print_lists)


def item_lists(options: argparse.Namespace) -> None:
    """Run the flow `item-lists`."""
    use_engine(options)
    with prefect_imports():
        from flows import lists
    run_repeatedly(options, lists.item_lists, _print_item_lists)


def drain_impressions(options: argparse.Namespace) -> None:
    """Run the flow `drain`."""
    with prefect_imports():
        from flows.drain import drain
    run_repeatedly(options, lambda: drain(options.wait), print_drained)


def watch_experiments(options: argparse.Namespace) -> None:
    """Run the flow `monitor`."""
    with prefect_imports():
        from flows.monitor import monitor
    run_repeatedly(options, lambda: monitor(options.gateway or [GATEWAY], options.key_file), _print_watched)


def advance_canaries(options: argparse.Namespace) -> None:
    """Run the flow `canary`."""
    with prefect_imports():
        from flows.canary import canary
    run_repeatedly(options, canary, _print_canaries)


def run_schedule(options: argparse.Namespace) -> None:
    """Serve all flows on their schedules until Ctrl-C."""
    if options.data:
        with interruptible_imports():
            from training.read.locations import Location
            from training.read.mapping import Mapping
            from training.read.table_reader import check_columns

        check_columns(Mapping.read(options.data))  # an error here, not in the first run at night
    from recsys.rules import RulesFile

    environment = Environment.read()
    RulesFile(environment.rules, environment.rules_named)  # as above
    with interruptible_imports():
        from flows.cli.schedule import serve_all
    data = options.data and str(Location.of(options.data))
    with open_store(environment) as store, server_for_schedules() as url:
        store.keep_running(lambda line: print(line, file=sys.stderr))
        os.environ["REDIS_URL"] = store.url  # a run would end an embedded store that it started itself
        print(f"Runs, their logs and artifacts: {without_password(url).removesuffix('/api')}", file=sys.stderr)
        serve_all(data, options.refresh_every, options.drain_every, options.gateway or [GATEWAY], options.key_file)


def run_repeatedly(options: argparse.Namespace, run: Callable[[], Any], print_result: Callable[[Any], None]) -> None:
    """Run a flow once, or at the interval `--every`: errors that may pass are printed, and the next run follows."""
    while True:
        start = time.monotonic()
        try:
            result = run()
            if options.json:
                print_json(asdict(result), one_line=bool(options.every))
            else:
                print_result(result)
        except (StoreError, GenerationError, RulesError, LocationError, ExperimentError) as error:
            if not options.every:
                raise
            print(f"{error} Trying again in {options.every:.0f} s.", file=sys.stderr)
        if not options.every:
            return
        time.sleep(max(0.0, options.every - (time.monotonic() - start)))


def _print_lists(result: ListResult) -> None:
    users = f"{result.lists:,} user{'s' * (result.lists != 1)}"
    trending = "1 item is trending" if result.trending == 1 else f"{result.trending} items are trending"
    print(f"Lists of {users} in {result.generation}; {trending}. {result.seconds:.1f} s")
    if result.arm_lists:
        print(f"Lists of users in arms of experiments, beside these: {result.arm_lists:,}.")
    if result.parquet:
        print(f"The best items of all users: {result.parquet}")
    if result.lost:
        print(
            f"{result.lost:,} events left the log before this run read them, so all users with stored events have new "
            "lists. Run refresh more often, or raise TANDEM_EVENT_LOG_MIB."
        )
    _print_superseded(result)


def _print_item_lists(result: ListResult) -> None:
    items = f"{result.lists:,} item{'s' * (result.lists != 1)}"
    print(f"Lists of similar items for {items} of {result.generation}: {result.parquet}. {result.seconds:.1f} s")
    _print_superseded(result)


def _print_superseded(result: ListResult) -> None:
    for generation in result.superseded:
        print(f"{generation} was superseded meanwhile: its lists were made again.")


def print_drained(result: DrainResult) -> None:
    """Print the result of `drain`."""
    shown = f"{result.impressions:,} impressions, {result.rows:,} items shown, {result.taken:,} taken"
    print(f"{shown}; {result.waiting:,} wait.")
    if result.damaged:
        print(f"{result.damaged:,} could not be read, or were of another version, and were deleted.")
    if result.lost:
        print(
            f"{result.lost:,} impressions were removed before a drain could read them, since the last drain. "
            "Drain more often, raise TANDEM_IMPRESSIONS_MIB or lower TANDEM_IMPRESSIONS_PER_SECOND."
        )
    if result.restored:
        print(f"{result.restored:,} deleted users were in the store again, as after a restore: deleted again.")
    if result.deleted:
        print(f"{result.deleted:,} rows of deleted users were removed from files.")
    print(f"{result.events.events:,} events of the log.")
    if result.events.damaged:
        print(f"{result.events.damaged:,} events could not be read, and are in no file.")
    if result.events.lost:
        print(
            f"{result.events.lost:,} events left the log before a drain could read them, since the last drain. "
            "Drain more often, or raise TANDEM_EVENT_LOG_MIB."
        )
    if result.joined or result.removed:
        print(f"Files of {result.joined:,} days were joined; {result.removed:,} old days were removed.")
    for file in (*result.files, *result.events.files):
        print(file)


def _print_watched(result: MonitorResult) -> None:
    print(f"{result.arms} arm{'s' * (result.arms != 1)} of running experiments looked at.")
    for arm, why in result.halted.items():
        print(f"Arm {arm} was halted: {why}")
    for gateway, why in result.unread.items():
        print(f"The arms at {gateway} were not judged. {why}")


def _print_canaries(result: CanaryResult) -> None:
    for name, sentence in result.canaries.items():
        print(f"{name}: {sentence}")
    if not result.canaries:
        print("No canary runs. To start one: python -m flows promote ID --canary 5,25,100")


def number(kind: Callable[[str], float], least: float, most: float) -> Callable[[str], Any]:
    """The type of an option that is a number within bounds."""

    def read(text: str) -> float:
        with suppress(ValueError):
            if least <= (value := kind(text)) <= most:
                return value
        raise argparse.ArgumentTypeError(f"{text} is not a number from {least} to {most:,}")

    return read
