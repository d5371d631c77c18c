"""The verbs that follow users: `refresh`, `batch` and `drain`, once or every so many seconds, and `schedule`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flows.cli.output import emit, emit_line
from flows.cli.prefect_api import server_where_none, started, without_password
from flows.periods import DRAIN_SECONDS, OF_WAIT, REFRESH_SECONDS, WAIT_SECONDS
from recsys.environment import Environment
from recsys.errors import GenerationError, LocationError, RulesError, StoreError
from recsys.process.interruption import interruptible_imports
from recsys.store.from_environment import open_store

if TYPE_CHECKING:
    from flows.drain import Drained
    from flows.lists import Listed


def add_verbs(verbs: Any) -> list[argparse.ArgumentParser]:
    """Add the verbs to the command line; their parsers."""
    refresh = verbs.add_parser("refresh", help="new lists for those who did something, and what is trending")
    refresh.set_defaults(verb=refresh_lists, apart=True)
    batch = verbs.add_parser("batch", help="a list for everyone, and everyone's best as Parquet")
    batch.add_argument("--top", type=_count, default=20, help="items of a user in the Parquet file; default: 20")
    batch.add_argument("--rules", help="the file of rules; default: TANDEM_RULES, or rules.toml")
    batch.set_defaults(verb=list_everyone, apart=True)
    drain = verbs.add_parser("drain", help="impressions as Parquet, with features and labels")
    drain.add_argument("--wait", type=_seconds, default=WAIT_SECONDS, help=f"{OF_WAIT}; default: {WAIT_SECONDS:.0f}")
    drain.set_defaults(verb=drain_impressions, apart=True)
    for verb in (refresh, drain):
        verb.add_argument("--every", type=_period, metavar="SECONDS", help="again and again, until Ctrl-C")
    schedule = verbs.add_parser("schedule", help="run all of them, and the training, on Prefect's clock")
    schedule.add_argument("--data", help="train every night on this folder or file")
    for name, period in (("--refresh-every", REFRESH_SECONDS), ("--drain-every", DRAIN_SECONDS)):
        schedule.add_argument(name, type=_period, default=period, metavar="SECONDS", help=f"default: {period:.0f}")
    schedule.set_defaults(verb=run_schedule)
    return [refresh, batch, drain, schedule]


def refresh_lists(options: argparse.Namespace) -> None:
    """Run the flow `refresh`."""
    with started():
        from flows.lists import refresh
    _repeated(options, refresh, _tell_lists)


def list_everyone(options: argparse.Namespace) -> None:
    """Run the flow `batch`."""
    with started():
        from flows.lists import batch
    done = batch(options.top, options.rules)
    if options.json:
        emit(asdict(done))
    else:
        _tell_lists(done)


def drain_impressions(options: argparse.Namespace) -> None:
    """Run the flow `drain`."""
    with started():
        from flows.drain import drain
    _repeated(options, lambda: drain(options.wait), _tell_drained)


def run_schedule(options: argparse.Namespace) -> None:
    """Serve every flow on its schedule, until Ctrl-C."""
    if options.data:
        with interruptible_imports():
            from training.data.locations import Location
            from training.data.mapping import Mapping
            from training.data.reading.table_reader import check_columns

        check_columns(Mapping.read(options.data))  # now, and not at night
    from recsys.rules import RulesFile

    environment = Environment.read()
    RulesFile(environment.rules, environment.rules_named)  # likewise
    with interruptible_imports():
        from flows.schedule import serve_all
    data = options.data and str(Location.of(options.data).resolved())
    with open_store(environment) as store, server_where_none() as url:
        store.keep_running(lambda line: print(line, file=sys.stderr))
        os.environ["REDIS_URL"] = store.url  # for the runs: an embedded store that one of them began would end with it
        print(f"Runs, their logs and artifacts: {without_password(url).removesuffix('/api')}", file=sys.stderr)
        serve_all(data, options.refresh_every, options.drain_every)


def _repeated(options: argparse.Namespace, run: Callable[[], Any], tell: Callable[[Any], None]) -> None:
    """Run once, or every so many seconds: then what passes, or can be mended meanwhile, is told and waited for."""
    while True:
        start = time.monotonic()
        try:
            done = run()
            if not options.json:
                tell(done)
            elif options.every:
                emit_line(asdict(done))
            else:
                emit(asdict(done))
        except (StoreError, GenerationError, RulesError, LocationError) as error:
            if not options.every:
                raise
            print(f"{error} Trying again in {options.every:.0f} s.", file=sys.stderr)
        if not options.every:
            return
        time.sleep(max(0.0, options.every - (time.monotonic() - start)))


def _tell_lists(done: Listed) -> None:
    users = f"{done.lists:,} user{'s' * (done.lists != 1)}"
    trending = "1 item is trending" if done.trending == 1 else f"{done.trending} items are trending"
    print(f"Lists of {users} in {done.generation}; {trending}. {done.seconds:.1f} s")
    if done.parquet:
        print(f"Everyone's best: {done.parquet}")
    if done.lost:
        print(
            f"{done.lost:,} events left the log before this run read them, so all users with stored events have new "
            "lists. Run refresh more often, or raise TANDEM_EVENT_LOG_MIB."
        )
    for generation in done.superseded:
        print(f"{generation} was superseded meanwhile: its lists were made again.")


def _tell_drained(done: Drained) -> None:
    print(f"{done.impressions:,} impressions, {done.rows:,} items shown, {done.taken:,} taken; {done.waiting:,} wait.")
    if done.damaged:
        print(f"{done.damaged:,} could not be read, or were another code's, and are gone.")
    if done.lost:
        print(
            f"{done.lost:,} impressions were removed before a drain could read them, since the last drain. "
            "Drain more often, raise TANDEM_IMPRESSIONS_MIB or lower TANDEM_IMPRESSIONS_PER_SECOND."
        )
    for file in done.files:
        print(file)


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (seconds := float(text)) <= 86_400 * 30:
            return seconds
    raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 0 to 30 days")


def _period(text: str) -> float:
    if _seconds(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than a second")
    return _seconds(text)


def _count(text: str) -> int:
    with suppress(ValueError):
        if 1 <= (count := int(text)) <= 100:
            return count
    raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 to 100")
