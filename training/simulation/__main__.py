"""`python -m training.simulation prove`: does a deployment that learns from what users did serve them better?

Simulated users visit real deployments, each a `python -m service serve` with its own store, for some days. Deployments
of a seed have the same users and items. Most of them run `flows drain` and `flows run` each night; one serves the
generation of the first log on all days. Exit code 1 unless the loop has more clicks per slate, also on new items.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from recsys.environment import Environment
from recsys.errors import TandemError
from recsys.process.command_exit import interruptible_imports, required_packages

with required_packages(), interruptible_imports():
    from rich.console import Console

    from training.data.locations import Location, reaching
    from training.progress import terminal_progress
    from training.simulation import loop_result
    from training.simulation.fitted_facts import fit
    from training.simulation.flow_worker import ROOT
    from training.simulation.proof import Proof

DEMO = ROOT / "data" / "movietweetings" / "interactions.csv.gz"
"""The log whose facts users and items have."""


@required_packages()
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = parser().parse_args(arguments)
    folder = options.folder or Environment.read().folder("simulation")
    try:
        with reaching(Location(str(folder)), "written"):
            folder.mkdir(parents=True, exist_ok=True)
        with terminal_progress() as progress:
            proof = Proof(folder, fit(pd.read_csv(DEMO)), options.seeds, options.days)
            results = proof.run(progress)
    except TandemError as error:
        print(error, file=sys.stderr)
        return 1
    console, faults = Console(width=None if sys.stdout.isatty() else 150), loop_result.faults(results)
    for made in loop_result.tables(results):
        console.print(made)
    loop_result.write_picture(results, folder / "exploration.svg")
    console.print(f"Picture: {folder / 'exploration.svg'}", highlight=False, soft_wrap=True)
    console.print("\n".join(faults) or "The loop serves users better, also with new items.", soft_wrap=True)
    return 1 if faults else 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.simulation", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    prove = verbs.add_parser("prove", help="serve simulated users, and compare what deployments learn from")
    prove.add_argument("--seeds", type=_at_least_two, default=10, help="pairs of deployments; default: 10")
    prove.add_argument("--days", type=_at_least_two, default=10, help="of each deployment; default: 10")
    prove.add_argument(
        "--folder", type=Path, help="keeps finished deployments of this code; default: .tandem/simulation"
    )
    return parser


def _at_least_two(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 2 on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
