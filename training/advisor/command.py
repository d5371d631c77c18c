"""`python -m training advise`: read the options, measure or read the curves, print the advice, write JSON and page."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.prompt import Prompt

from recsys.environment import Environment
from recsys.errors import SettingsError
from recsys.files.atomic_write import atomic_write
from training.advisor.advice import Advice, advise
from training.advisor.advice_page import render
from training.advisor.advise_options import add_options, read_options
from training.advisor.checklist import QUESTIONS
from training.advisor.cost import CostProfile
from training.advisor.curves import Measurement
from training.advisor.replay import QUERIES, measure
from training.options import add_training_options, checked, config_of
from training.progress import terminal_progress
from training.read import dataset
from training.read.mapping import Mapping
from training.recipe import TrainingRun
from training.stage_files import StageFiles

PROFILE = "cost_profile.json"
"""The file of the home (TANDEM_HOME) with the measured costs of this machine."""

CURVES = "freshness_curves.json"
"""The file of the home with the freshness curves that were measured last."""


def add_advise_options(parser: argparse.ArgumentParser) -> None:
    """The options of `advise`."""
    parser.add_argument("--data", help="a folder with a dataset.toml, or such a file, to measure the curves on")
    parser.add_argument(
        "--queries", type=positive, default=QUERIES, metavar="N", help=f"of the test to replay; default: {QUERIES}"
    )
    parser.add_argument("--curves", type=Path, metavar="FILE", help="freshness curves that were measured before")
    parser.add_argument(
        "--profile", type=Path, metavar="FILE", help="measured costs; default: .tandem/cost_profile.json"
    )
    parser.add_argument(
        "--options", type=Path, metavar="FILE", help="a TOML file of options and surfaces (docs/modes.md)"
    )
    parser.add_argument("--ask", action="store_true", help="ask each question of the checklist that has no answer yet")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure, for programs")
    parser.add_argument("--page", type=Path, metavar="FILE", help="the page; default: .tandem/reports/advice.html")
    parser.add_argument("--surfaces", type=Path, metavar="FILE", help="write the surfaces.toml of the advice")
    add_options(parser)
    add_training_options(parser)


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"a whole number from 1 on, not {text}")
    return int(text)


def run_advise(options: argparse.Namespace) -> None:
    """Print the advice; write the page and the files that the options name."""
    for name in ("json", "page", "surfaces"):
        checked(getattr(options, name), f"--{name}")
    read_options(options.options, options)  # a wrong option is an error before the first question
    if options.ask:
        ask(options)
    stated = read_options(options.options, options)
    environment = Environment.read()
    profile = read_profile(options.profile, environment.home / PROFILE)
    advice = advise(measured(options, environment), profile, stated)
    console = Console()
    for line in sentences(advice):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if options.json:
        write(options.json, json.dumps(advice.to_json(), indent=2))
    if options.surfaces:
        write(options.surfaces, advice.surfaces_toml)
    page = options.page or environment.folder("reports") / "advice.html"
    write(page, render.html(advice))
    console.print(f"The page: {page}", highlight=False, markup=False, soft_wrap=True)


def measured(options: argparse.Namespace, environment: Environment) -> Measurement:
    """The freshness curves of the options: read from a file, or measured on a dataset and written to the home."""
    if options.curves is not None:
        return Measurement.read(options.curves)
    if options.data is None:
        raise SettingsError(
            "Name a dataset to measure freshness curves on (--data DIR), or measured ones (--curves FILE)."
        )
    mapping = Mapping.read(options.data)
    config = config_of(options, mapping.training, f"[training] of {mapping.path}")
    table = dataset.read(options.data)
    files = StageFiles(environment.folder("stages"))
    with terminal_progress() as progress:
        found = measure(table, TrainingRun(config, progress, files), options.queries)
    files.clear()
    target = environment.home / CURVES
    write(target, found.to_json())
    Console().print(f"The curves, for --curves: {target}", highlight=False, markup=False, soft_wrap=True)
    return found


def read_profile(named: Path | None, usual: Path) -> CostProfile | None:
    """The profile that --profile names, or that of the home; None if the home has none."""
    return CostProfile.read(named or usual) if named or usual.exists() else None


def ask(options: argparse.Namespace) -> None:
    """Ask on the terminal for each answer that neither the file nor the command line has."""
    given = read_options(options.options, options).answered()
    console = Console(stderr=True)
    for name, question in QUESTIONS.items():
        if name in given:
            continue
        console.print(f"\n[bold]{question.text}")
        for word, answer in question.answers.items():
            console.print(f"  {word}: {answer.text}")
        try:
            setattr(options, name, Prompt.ask("Answer", choices=[*question.answers], console=console))
        except EOFError as error:
            raise SettingsError(f"The input ended before the question on {name} was answered.") from error


def sentences(advice: Advice) -> list[str]:
    """The advice for a terminal."""
    lines = [advice.checklist.sentence] if advice.checklist.mode else []
    for name, each in advice.surfaces.items():
        lines += ["", f"{name}: {each.mode}", *(f"  {sentence}" for sentence in each.why)]
        lines += [f"  {threshold.sentence}" for threshold in each.thresholds]
    notes = [render.NO_PROFILE] if advice.profile is None else []
    return [*lines, "", *notes, *advice.to_json()["misfits"], *render.assumptions(advice)]


def write(path: Path, text: str) -> None:
    """Write a file; an existing one stays if the write fails."""
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8")
