"""`python -m training offpolicy`: judge the arms of an experiment's file by slates that another arm has explored."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from recsys.errors import DatasetError, ExperimentError, SettingsError
from recsys.experiments.definition import Arm, Explore, parse
from training.data.day_partitions import DAY, by_day, read_schema
from training.data.locations import Location
from training.offpolicy.logged_draws import read
from training.offpolicy.policy_judgement import Judgement, Refusal, judge

NAMES = {
    "logged": "as it was",
    "inverse_propensity": "IPS",
    "self_normalised": "self-normalised IPS",
    "doubly_robust": "doubly robust",
}


def add_offpolicy_options(parser: argparse.ArgumentParser) -> None:
    """The options of `offpolicy`."""
    parser.add_argument("--impressions", required=True, metavar="DIR", help="the folder that flows drain writes")
    parser.add_argument("--experiment", required=True, type=Path, metavar="FILE", help="its arms are judged")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure, for programs")


def run_offpolicy(options: argparse.Namespace) -> None:
    """Judge each arm and print the estimates. DatasetError or ExperimentError with a sentence for a wrong file."""
    if options.json:
        _require_writable(options.json)
    try:
        experiment = parse(options.experiment.read_text(encoding="utf-8"), str(options.experiment))
    except OSError as error:
        raise ExperimentError(f"{options.experiment} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ExperimentError(f"{options.experiment} can't be read: it is not UTF-8.") from error
    policies = {name: _explore(name, arm) for name, arm in experiment.arms.items()}
    log = read(_files(options.impressions))
    console = Console()
    console.print(f"{len(log.draws):,} explored slates of {len(set(log.users.tolist())):,} users.", highlight=False)
    found = {name: judge(log.under(explore)) for name, explore in policies.items()}
    for name, each in found.items():
        console.print("\n".join(lines(name, each)), highlight=False, markup=False, soft_wrap=True)
    if options.json:
        figures = {name: asdict(each) for name, each in found.items()}
        options.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")


def _require_writable(file: Path) -> None:
    """SettingsError unless the file's folder exists: before minutes of work."""
    if file.is_dir() or not os.access(file.parent, os.W_OK):
        what = "is a folder" if file.is_dir() else f"can't be written: there is no folder {file.parent} to write to"
        raise SettingsError(f"--json: {file} {what}. Name a file in a folder that exists.")


def _files(folder: str) -> list[Location]:
    """The files of impressions of a folder, oldest first. DatasetError if there are none."""
    place = Location.of(folder)
    if not place.remote and not Path(place.path).is_dir():
        raise DatasetError(f"There is no folder {place}. --impressions names the one that flows drain writes.")
    files = [file for day in by_day(place).values() for file in day]
    if not files:
        raise DatasetError(
            f"There are no impressions in {place}: no folder such as {DAY}2026-12-01 with a Parquet file. "
            "python -m flows drain writes them."
        )
    names = read_schema(files[0]).names
    if "impression" not in names:
        found = "events" if "event_type" in names else "other rows"
        raise DatasetError(f"{place} has {found}, no impressions. Name the folder impressions that flows drain writes.")
    return files


def lines(name: str, found: Judgement | Refusal) -> list[str]:
    """What is printed of an arm."""
    if isinstance(found, Refusal):
        return [f"{name}: no estimate. {found.sentence}"]
    head = f"{name}: items that a user takes of a slate, with 95 % intervals"
    rows = [f"{head} ({found.effective_users:.0f} effective users)"]
    for field, words in NAMES.items():
        each = getattr(found, field)
        rows.append(f"  {words:<20}{each.value:.4f}  {each.low:.4f} to {each.high:.4f}")
    return rows


def _explore(name: str, arm: Arm) -> Explore:
    """How an arm explores; ExperimentError unless that alone decides the arm's slates."""
    if arm.explore is None:
        raise ExperimentError(
            f"arms.{name} has no explore, so no slate of it has overlap with the log. Add [arms.{name}.explore]."
        )
    if others := sorted(arm.changes - {"explore"}):
        raise ExperimentError(
            f"arms.{name}.{others[0]} can't be judged: the log has scores and no {others[0]}. Leave {others[0]} out."
        )
    return arm.explore
