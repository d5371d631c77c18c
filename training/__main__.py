"""`python -m training VERB`: check a dataset, evaluate models, generate a dataset, advise a mode, or judge a policy.

No verb needs Prefect or a store.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from recsys.environment import Environment
from recsys.errors import DatasetError, TandemError
from recsys.process.command_exit import interruptible_imports, required_packages

with required_packages(), interruptible_imports():
    from rich.console import Console

    from training import recipe
    from training.advisor.command import add_advise_options, run_advise
    from training.encode.interaction_log import encode
    from training.encode.protocols import IN_TIME, PROTOCOLS, check_protocol
    from training.generated_log import SHAPES, generate
    from training.judge.gate.check import failed
    from training.judge.gate.dataset_profile import AVAILABLE, DataProfile
    from training.judge.gate.gate import check_data
    from training.judge.run_page import RunReport, write
    from training.offpolicy.offpolicy_command import add_offpolicy_options, run_offpolicy
    from training.offpolicy.tested_model import policy_judge
    from training.options import add_training_options, checked, config_of
    from training.processes import process_group
    from training.progress import LearningCurves, terminal_progress
    from training.read import dataset
    from training.read.mapping import Mapping, stated_moment
    from training.stage_files import StageFiles
    from training.tensorboard import TensorBoard

DATA = "a folder with a dataset.toml, or such a file"


@required_packages()
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = parser().parse_args(arguments)
    try:
        with process_group.joined() as runs:
            if runs:
                options.run(options)
    except TandemError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    check = verbs.add_parser("check", help="read a dataset and run the gate's checks of the data; trains nothing")
    check.add_argument("--data", required=True, help=DATA)
    check.set_defaults(run=run_check)
    evaluate = verbs.add_parser("evaluate", help="train on the past, test on what came after, print the metric table")
    add_evaluate_options(evaluate)
    evaluate.set_defaults(run=run_evaluate)
    made = verbs.add_parser("generate", help="write a generated dataset of some shape and size")
    shapes = "three columns, short visits, repeat purchases, or a wide catalogue"
    made.add_argument("--shape", choices=SHAPES, default="plain", help=shapes)
    made.add_argument("--out", type=Path, required=True, help="the folder to write")
    made.add_argument("--interactions", type=size, metavar="N", help="such as 100k; default: the shape's")
    made.add_argument("--items", type=size, metavar="N", help="default: the shape's")
    made.add_argument("--seed", type=int, default=0)
    made.set_defaults(run=run_generate)
    advised = verbs.add_parser(
        "advise", help="which mode each page or e-mail should be served in, what it costs, and why"
    )
    add_advise_options(advised)
    advised.set_defaults(run=run_advise)
    offpolicy = verbs.add_parser("offpolicy", help="judge a generation, rules or arms by explored slates")
    add_offpolicy_options(offpolicy)
    offpolicy.set_defaults(run=run_offpolicy)
    return parser


def add_evaluate_options(parser: argparse.ArgumentParser) -> None:
    """The options of `evaluate`."""
    parser.add_argument("--data", required=True, help=DATA)
    parser.add_argument("--protocol", help=f"one of: {', '.join(PROTOCOLS)}; default: by the dataset's horizon")
    parser.add_argument("--test-from", metavar="TIME", help="start of the test, UTC: 2000-12-21 (rolling, horizon)")
    parser.add_argument("--labels-from", metavar="TIME", help="start of the ranker's labels")
    hidden = "hide every event of a share of the items from the models"
    parser.add_argument("--new-items", type=float, default=0.0, metavar="SHARE", help=hidden)
    add_training_options(parser)
    parser.add_argument("--json", type=Path, help="a file for the metric table, for programs")
    parser.add_argument("--report", type=Path, help="a page for people: figures, learning curves, slates")


def size(text: str) -> int:
    """A number of rows such as 100k or 10M, from 1 on."""
    units = {"k": 1_000, "M": 1_000_000}
    rows = int(text[:-1]) * units[text[-1]] if text[-1:] in units else int(text)
    if rows < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of rows from 1 on, such as 100k")
    return rows


def run_check(options: argparse.Namespace) -> None:
    """Print the dataset in figures and its notes; DatasetError with the checks of the gate that it fails."""
    table = dataset.read(options.data)
    profile = DataProfile.of(table, encode(table))
    first, last = (datetime.fromtimestamp(moment, UTC) for moment in (profile.first, profile.last))
    print(
        f"{profile.name}: {profile.rows:,} events of {profile.users:,} users with {profile.items:,} items, from "
        f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC."
    )
    types = table.interactions["event_type"].value_counts()
    print(f"Event types: {', '.join(f'{name} ({count:,})' for name, count in types.items())}.")
    if AVAILABLE in profile.filled:
        print(f"Items that are available: {profile.filled[AVAILABLE]:.1%}.")
    for line in (*table.notes.lines(len(table.interactions)), *table.notes.assumptions):
        print(line)
    if refused := failed(check_data(profile, None)):
        raise DatasetError("The gate would refuse this data:\n" + "\n".join(f"  - {line}" for line in refused))
    print("The data can be trained on.")


def run_evaluate(options: argparse.Namespace) -> None:
    """Train, evaluate and print the metric table; write the JSON and the page that the options name."""
    mapping = Mapping.read(options.data)
    protocol = options.protocol or mapping.protocol
    stated = stated_moments(options, protocol)
    target, page = checked(options.json), checked(options.report, "--report")
    start = time.monotonic()
    config = config_of(options, mapping.training, f"[training] of {mapping.path}")
    table = dataset.read(options.data)
    log = encode(table)
    parts = recipe.own_split(table, log, config, protocol, replace(table.moments, **stated), options.new_items)
    environment = Environment.read()
    curves, files = LearningCurves(), StageFiles(environment.folder("stages"))
    with terminal_progress() as shown, closing(TensorBoard(environment.folder("tensorboard"), table.name)) as board:
        run = recipe.TrainingRun(config, shown.shown_on(board, curves), files)
        slates = recipe.read_impressions(table, parts, run)
        ranker = recipe.train_ranker(parts, run, slates)
        evaluation = recipe.evaluate(parts, ranker, run, policy=policy_judge(table, parts), event_before=True)
        files.clear()
        board.result(config, evaluation)
    evaluation = replace(evaluation, seconds=round(time.monotonic() - start, 1))
    console = Console()
    console.print(evaluation.to_table())
    for note in (*table.notes.lines(len(table.interactions)), *evaluation.warnings):
        console.print(f"Note: {note}", highlight=False, markup=False, soft_wrap=True)
    if target is not None:
        target.write_text(evaluation.to_json(), encoding="utf-8")
    if page is not None:
        write(RunReport(DataProfile.of(table, log), config, curves.curves, evaluation=evaluation), page)


def stated_moments(options: argparse.Namespace, protocol: str) -> dict[str, float]:
    """The times of --test-from and --labels-from; DatasetError where the options and the protocol do not agree."""
    check_protocol(protocol)
    stated = {
        name: stated_moment(value, f"--{name.replace('_', '-')}")
        for name in ("test_from", "labels_from")
        if (value := getattr(options, name)) is not None
    }
    if stated and protocol not in IN_TIME:
        raise DatasetError(f"--protocol {protocol} does not cut in time: it takes no --test-from or --labels-from.")
    if not 0 <= options.new_items < 1:
        raise DatasetError(f"--new-items is a share of the items, from 0 to below 1, not {options.new_items}.")
    return stated


def run_generate(options: argparse.Namespace) -> None:
    """Write the dataset and print its folder."""
    shape = SHAPES[options.shape]
    shape = replace(shape, interactions=options.interactions or shape.interactions, items=options.items or shape.items)
    folder = generate(shape, options.out, options.seed, options.shape)
    print(f"{shape.interactions:,} interactions of {shape.items:,} items in {folder}")


if __name__ == "__main__":
    sys.exit(main())
