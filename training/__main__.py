"""`python -m training evaluate`: the metric table of a dataset, without a store and without Prefect."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from recsys.errors import DatasetError, TandemError
from training import dataset, recipe
from training.config import small
from training.log import encode
from training.split import split
from training.watch import watching


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = parser().parse_args(arguments)
    try:
        evaluate(options.data, options.protocol, options.json)
    except TandemError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    evaluate = verbs.add_parser("evaluate", help="train on the past, test on what came after, print the table")
    evaluate.add_argument("--data", required=True, help="a folder with a dataset.toml, or such a file")
    evaluate.add_argument("--protocol", default="rolling", help=f"one of: {', '.join(recipe.PROTOCOLS)}")
    evaluate.add_argument("--json", type=Path, help="where to write the table for programs")
    return parser


def evaluate(data: str, protocol: str, target: Path | None) -> None:
    """Print the table and, if asked, write it."""
    recipe.check_protocol(protocol)
    if target is not None and not target.parent.is_dir():
        raise DatasetError(f"--json names {target}, whose folder does not exist.")
    config = small()
    table = dataset.read(data)
    parts = split(encode(table), config)
    with watching() as watch:
        taught = recipe.teach_ranker(parts, config, watch)
        evaluation = recipe.evaluate(parts, taught, config, watch, protocol)
    console = Console()
    console.print(evaluation.to_table())
    for warning in evaluation.warnings:
        console.print(f"Note: {warning}")
    if target is not None:
        target.write_text(evaluation.to_json(), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
