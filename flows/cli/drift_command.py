"""The command `python -m flows drift`: compare served slates (ordered lists of recommended items) with the training and
with the week before.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from flows import WINDOW_HELP, WINDOW_HOURS
from flows.cli.prefect_api import prefect_imports
from flows.cli.recurring_commands import number, run_repeatedly

if TYPE_CHECKING:
    from flows.drift import DriftResult

MOST_HOURS = 24 * 28


def add_verbs(verbs: Any) -> list[argparse.ArgumentParser]:
    """Add the command to the command line and return its parser."""
    drift = verbs.add_parser("drift", help="compare served slates with the training and with the week before")
    hours = number(float, 1, MOST_HOURS)
    drift.add_argument("--hours", type=hours, default=WINDOW_HOURS, help=f"{WINDOW_HELP}; default: {WINDOW_HOURS:.0f}")
    drift.set_defaults(verb=find_drift, own_session=True, every=None)
    return [drift]


def find_drift(options: argparse.Namespace) -> None:
    """Run the flow `drift`."""
    with prefect_imports():
        from flows.drift import drift
    run_repeatedly(options, lambda: drift(options.hours), _print)


def _print(result: DriftResult) -> None:
    print(result.sentence)
    print(result.skew.sentence)
    print(f"Page: {result.page}")
