"""The command `python -m flows drift`: compare served slates (ordered lists of recommended items) with the training and
with the week before.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from flows.cli.prefect_api import prefect_imports
from flows.cli.recurring_commands import run_repeatedly

if TYPE_CHECKING:
    from flows.drift import DriftResult


def add_verbs(verbs: Any) -> list[argparse.ArgumentParser]:
    """Add the command to the command line and return its parser."""
    drift = verbs.add_parser("drift", help="compare served slates with the training and with the week before")
    drift.set_defaults(verb=find_drift, own_session=True, every=None)
    return [drift]


def find_drift(options: argparse.Namespace) -> None:
    """Run the flow `drift`."""
    with prefect_imports():
        from flows.drift import drift
    run_repeatedly(options, drift, _print)


def _print(result: DriftResult) -> None:
    print(result.sentence)
    print(result.skew.sentence)
    print(f"Page: {result.page}")
