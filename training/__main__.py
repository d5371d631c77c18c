"""`python -m training evaluate`: the metric table of a dataset, without a store and without Prefect."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from recsys.errors import DatasetError, TandemError
from training import dataset, recipe
from training.config import small
from training.log import encode
from training.mapping import moment
from training.split import IN_TIME, PROTOCOLS, check_protocol, split
from training.watch import watching


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = parser().parse_args(arguments)
    try:
        evaluate(options)
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
    evaluate.add_argument("--protocol", default="rolling", help=f"one of: {', '.join(PROTOCOLS)}; docs/evaluation.md")
    evaluate.add_argument(
        "--test-from", metavar="TIME", help="when the test begins, UTC: 2000-12-21 (rolling, horizon)"
    )
    evaluate.add_argument("--labels-from", metavar="TIME", help="when the ranker's labels begin")
    evaluate.add_argument("--json", type=Path, help="where to write the table for programs")
    return parser


def evaluate(options: argparse.Namespace) -> None:
    """Print the table and, if asked, write it."""
    check_protocol(options.protocol)
    stated = {
        name: moment(value, f"--{name.replace('_', '-')}")
        for name in ("test_from", "labels_from")
        if (value := getattr(options, name)) is not None
    }
    if stated and options.protocol not in IN_TIME:
        raise DatasetError(
            f"--protocol {options.protocol} does not cut in time: it takes no --test-from or --labels-from."
        )
    target: Path | None = options.json
    if target is not None and not target.parent.is_dir():
        raise DatasetError(f"--json names {target}, whose folder does not exist.")
    start = time.monotonic()
    config = small()
    table = dataset.read(options.data)
    parts = split(encode(table), config, options.protocol, replace(table.moments, **stated))
    with watching() as watch:
        taught = recipe.teach_ranker(parts, config, watch)
        evaluation = recipe.evaluate(parts, taught, config, watch)
    evaluation = replace(evaluation, seconds=round(time.monotonic() - start, 1))
    console = Console()
    console.print(evaluation.to_table())
    for warning in evaluation.warnings:
        console.print(f"Note: {warning}")
    if target is not None:
        target.write_text(evaluation.to_json(), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
