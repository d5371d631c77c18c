"""Command-line options of `python -m loadtests.bench`, the benchmark of the service beside other servers."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import suppress

from loadtests.bench.knee import LEAST, MOST
from loadtests.bench.peers.servers import PEERS
from loadtests.options import items, number, one_of, rates, several

START = 400.0
"""Requests a second: the first probe of a knee."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """The command line. description: what the command does."""
    made = argparse.ArgumentParser(prog="python -m loadtests.bench", description=description)
    made.add_argument("--items", type=items, default=100_000)
    made.add_argument(
        "--peers", type=several(one_of(PEERS)), default=_DEFAULT, help=f"of {', '.join(PEERS)}; ratios are to the first"
    )
    made.add_argument("--rates", type=rates, default=[100, 400, 800], help="requests a second")
    made.add_argument("--passes", type=number(int, 1, 100), default=3)
    made.add_argument("--seconds", type=number(float, 1, 3600), default=15, help="of a load")
    made.add_argument("--p99-limit", type=number(float, 0.1, 1e5), default=50, help="ms; above it a rate is not held")
    made.add_argument("--together", action="store_true", help="all peers run all the time and get loads in turns")
    mode = made.add_mutually_exclusive_group()
    mode.add_argument("--knee", action="store_true", help="search the highest rate that holds, instead")
    mode.add_argument("--overload", action="store_true", help="send twice and five times the knee, instead")
    first = f"requests a second, the first probe: {START:g}, or split=900,litserve=80"
    made.add_argument("--start", type=_by_peer, default={}, help=first)
    made.add_argument("--at", type=_by_peer, default={}, help="knees that are known: 600, or split=900,litserve=80")
    return made


_NOT_BY_DEFAULT = {"split_grpc", "split_unmerged", "inline_two"}
_DEFAULT = [name for name in PEERS if name not in _NOT_BY_DEFAULT]


def of_peer(rates: Mapping[str, float], name: str) -> float | None:
    """The rate of a peer, or else the rate of all peers."""
    return rates.get(name) or rates.get("")


def _by_peer(text: str) -> dict[str, float]:
    with suppress(ValueError):
        parts = [each.rpartition("=") for each in text.split(",")]
        rates = {name: float(rate) for name, _, rate in parts}
        if all(LEAST <= rate <= MOST for rate in rates.values()) and not {*rates} - {"", *PEERS}:
            return rates
    raise argparse.ArgumentTypeError(
        f"{text!r} is neither a number nor PEER=RATE,PEER=RATE, from {LEAST:g} to {MOST:g}, of {', '.join(PEERS)}"
    )
