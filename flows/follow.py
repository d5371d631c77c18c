"""The verbs that follow users: `refresh`, `batch` and `drain`, once or every so many seconds, and `schedule`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.prefect_defaults import make_prefect_home
from flows.prefect_server import PrefectServer
from recsys.errors import StoreUnavailable
from training.watch import Watch, watching

if TYPE_CHECKING:
    from flows.drain import Drained
    from flows.lists import Listed

RULES = Path("rules.toml")


def add_verbs(verbs: Any) -> list[argparse.ArgumentParser]:
    """Add the verbs to the command line; their parsers."""
    refresh = verbs.add_parser("refresh", help="new lists for those who did something, and what is trending")
    refresh.set_defaults(verb=refresh_lists)
    batch = verbs.add_parser("batch", help="a list for everyone, and everyone's best as Parquet")
    batch.add_argument("--top", type=_count, default=20, help="items of a user in the Parquet file; default: 20")
    batch.add_argument("--rules", type=Path, default=RULES, help="the file of rules; default: rules.toml")
    batch.set_defaults(verb=list_everyone)
    drain = verbs.add_parser("drain", help="impressions as Parquet: training rows for the ranker")
    drain.add_argument(
        "--wait", type=_seconds, default=1_800.0, help="seconds in which an action after a slate is its label; 1800"
    )
    drain.set_defaults(verb=drain_impressions)
    for verb in (refresh, drain):
        verb.add_argument("--every", type=_seconds, metavar="SECONDS", help="again and again, until Ctrl-C")
    schedule = verbs.add_parser("schedule", help="run all of them, and the training, on Prefect's clock")
    schedule.add_argument("--data", help="train every night on this folder or file")
    schedule.set_defaults(verb=run_schedule)
    return [refresh, batch, drain, schedule]


def refresh_lists(options: argparse.Namespace) -> None:
    """Run the flow `refresh`."""
    with _prefect():
        from flows.lists import refresh

        _repeated(options, lambda watch: _tell_lists(refresh(watch), as_json=options.json))


def list_everyone(options: argparse.Namespace) -> None:
    """Run the flow `batch`."""
    with _prefect():
        from flows.lists import batch

        with watching() as watch:
            done = batch(options.top, options.rules, watch)
        _tell_lists(done, as_json=options.json)


def drain_impressions(options: argparse.Namespace) -> None:
    """Run the flow `drain`."""
    with _prefect():
        from flows.drain import drain

        _repeated(options, lambda watch: _tell_drained(drain(options.wait, watch), as_json=options.json))


def run_schedule(options: argparse.Namespace) -> None:
    """Serve every flow on its schedule, until Ctrl-C."""
    with _prefect():
        from flows.schedule import serve_all

        serve_all(options.data)


@contextmanager
def _prefect() -> Iterator[None]:
    """A Prefect server for the flows that run here, where none is given."""
    from flows.__main__ import keep_traces_off_the_console

    server = PrefectServer(make_prefect_home())
    server.start()
    keep_traces_off_the_console()
    server.wait()
    yield


def _repeated(options: argparse.Namespace, run: Callable[[Watch], None]) -> None:
    """Run once, or every so many seconds; a store that is away is waited for."""
    while True:
        start = time.monotonic()
        try:
            with watching() as watch:
                run(watch)
        except StoreUnavailable as error:
            if not options.every:
                raise
            print(f"{error} Trying again in {options.every:.0f} s.")
        if not options.every:
            return
        time.sleep(max(0.0, options.every - (time.monotonic() - start)))


def _tell_lists(done: Listed, *, as_json: bool) -> None:
    if as_json:
        _emit(asdict(done))
        return
    print(
        f"Lists of {done.lists:,} users in {done.generation}; {done.trending} items are trending. {done.seconds:.1f} s"
    )
    if done.parquet:
        print(f"Everyone's best: {done.parquet}")
    if done.superseded_by:
        print(f"{done.superseded_by} went live meanwhile, and these lists are not its: run this once more.")


def _tell_drained(done: Drained, *, as_json: bool) -> None:
    if as_json:
        _emit(asdict(done))
        return
    print(f"{done.impressions:,} impressions, {done.rows:,} items shown, {done.taken:,} taken; {done.waiting:,} wait.")
    if done.damaged:
        print(f"{done.damaged:,} could not be read, or were another code's, and are gone.")
    for file in done.files:
        print(file)


def _emit(value: dict[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 86_400 * 30:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 0 to 30 days")
    return seconds


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 to 100")
    return count
