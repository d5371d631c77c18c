"""`python -m training offpolicy`: judge a generation, rules or the arms of an experiment's file by explored slates, and
show for each its reward by three estimates, and how much the log shows of it.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from recsys.environment import Environment
from recsys.errors import DatasetError, ExperimentError, RulesError, SettingsError, TandemError
from recsys.experiments.definition import Arm, parse
from recsys.generation.manifest import NAME
from recsys.rules import rules_schema
from training.offpolicy.arm_judgement import checked, judge_arm
from training.offpolicy.estimates import LEAST_EFFECTIVE_USERS, MOST_OUTSIDE
from training.offpolicy.logged_slates import read
from training.offpolicy.replayed_target import read_past, stored_target
from training.read import collected
from training.read.day_partitions import DAY, by_day, read_schema
from training.read.locations import Location
from training.report.charts import COLOURS, NARROW, SOFT, Chart, chart, limit
from training.report.page import Report, Section, Table, write
from training.results import ArmJudgement, Judgement, Overlap, Refusal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAMES = {
    "logged": "as it was",
    "inverse_propensity": "IPS",
    "self_normalised": "self-normalised IPS",
    "doubly_robust": "doubly robust",
    "difference": "doubly robust - as it was",
}
"""The estimates of a `Judgement` in words."""


def page(found: Mapping[str, ArmJudgement], log: str) -> Report:
    """The page of some policies. log: the folder of the slates."""
    sections = [part for name, each in found.items() for part in _parts(name, each)]
    headline = [
        (name, f"{each.found.difference.value:+.4f}", f"{each.found.difference.low:+.4f} to {_high(each.found)}")
        for name, each in found.items()
        if isinstance(each.found, Judgement)
    ]
    sentence = "Items that a user takes of a slate, against what the logged policy had, with 95 % intervals."
    return Report("Policies judged by explored slates", log, sentence, None, sections, headline=headline)


def _high(found: Judgement) -> str:
    return f"{found.difference.high:+.4f}"


def _parts(name: str, judged: ArmJudgement) -> list[Section | Table]:
    """What is shown of a policy."""
    found = judged.found
    counts = f"{judged.slates:,} slates of {judged.users:,} users."
    if isinstance(found, Refusal):
        charts = [_users(found.overlap)] if found.overlap.effective_users else []
        return [Section(name, " ".join([f"No estimate. {found.sentence}", counts, *judged.notes]), charts)]
    note = " ".join([f"The reward of {found.scope}, from {counts}", *judged.notes])
    return [Section(name, note, [_intervals(found), _users(found.overlap)]), _table(name, found)]


def _intervals(found: Judgement) -> Chart:
    """The estimates as intervals on one axis."""
    estimates = {words: getattr(found, name) for name, words in NAMES.items() if name != "difference"}

    def draw(axes: Axes) -> None:
        limit(axes, "", found.logged.value, "x", SOFT, "--")
        for place, each in enumerate([*estimates.values()][::-1]):
            errors = [[each.value - each.low], [each.high - each.value]]
            axes.errorbar(each.value, place, xerr=errors, fmt="o", color=SOFT if each is found.logged else COLOURS[0])
        axes.set_yticks(range(len(estimates)), [*estimates][::-1])

    return chart("Items taken of a slate", draw, NARROW, legend=False)


def _users(overlap: Overlap) -> Chart:
    """The effective users by place."""
    from matplotlib.ticker import MaxNLocator

    users = overlap.effective_users

    def draw(axes: Axes) -> None:
        axes.plot(range(1, len(users) + 1), users, "o-")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        limit(axes, "", LEAST_EFFECTIVE_USERS)

    title = f"Effective users up to each place; {LEAST_EFFECTIVE_USERS} are needed"
    return chart(title, draw, NARROW, legend=False, xlabel="place", ylim=(0, None))


def _table(name: str, found: Judgement) -> Table:
    rows = [
        [words, *(f"{value:.4f}" for value in (each.value, each.low, each.high, each.error))]
        for field, words in NAMES.items()
        for each in [getattr(found, field)]
    ]
    note = f"The log can't show {found.outside:.1%} of what the policy shows; {MOST_OUTSIDE:.0%} may be missing."
    return Table(name, ["estimate", "value", "low", "high", "standard error"], rows, note)


def add_offpolicy_options(parser: argparse.ArgumentParser) -> None:
    """The options of `offpolicy`."""
    parser.add_argument("--impressions", required=True, metavar="DIR", help="the folder that flows drain writes")
    beside = "collected events of the users; default: the folder events beside the impressions"
    parser.add_argument("--events", metavar="DIR", help=beside)
    parser.add_argument("--experiment", type=Path, metavar="FILE", help="its arms are judged")
    parser.add_argument("--generation", metavar="ID", help="judge this generation; default: that of each slate")
    parser.add_argument("--rules", type=Path, metavar="FILE", help="judge these rules; default: those of each slate")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure, for programs")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write a page for people")


def run_offpolicy(options: argparse.Namespace) -> None:
    """Judge each arm and print the estimates. A TandemError with a sentence for a wrong file."""
    for option, file in (("--json", options.json), ("--page", options.page)):
        if file:
            _require_writable(option, file)
    arms, place = _arms(options), Location.of(options.impressions)
    files, events = _files(place), _events(options, place)
    slates = read(files)
    users = {each.user_id for each in slates}
    console = Console()
    console.print(f"{len(slates):,} explored slates of {len(users):,} users.", highlight=False)
    times = [each.asked for each in slates]
    if not by_day(events) and any(arm.changes - {"explore"} for arm in arms.values()):
        console.print(
            f"There are no collected events in {events}: a replay has the users' events of the training alone.",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    known = cache(lambda: read_past(events, users, min(times), max(times)))
    folder = Environment.read().home / "generations"
    target_of = cache(lambda generation: stored_target(folder, generation, known()))
    found = {name: judge_arm(slates, name, arm, target_of) for name, arm in arms.items()}
    for name, each in found.items():
        console.print("\n".join(lines(name, each)), highlight=False, markup=False, soft_wrap=True)
    if options.json:
        figures = {name: (row := asdict(each)).pop("found") | row for name, each in found.items()}
        options.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    if options.page:
        write(page(found, str(place)), options.page)


def _arms(options: argparse.Namespace) -> dict[str, Arm]:
    """The arms to judge: those of --experiment, or one that --generation and --rules describe."""
    short = options.generation is not None or options.rules is not None
    if short == (options.experiment is not None):
        raise SettingsError("Name what is judged: --generation, --rules or both, or --experiment alone.")
    if not short:
        experiment = parse(_text(options.experiment, ExperimentError), str(options.experiment))
        return {name: checked(name, arm) for name, arm in experiment.arms.items()}
    if options.generation is not None and not NAME.fullmatch(options.generation):
        raise SettingsError(f"--generation: {options.generation[:64]!r} is no id of a generation.")
    rules = None
    if options.rules is not None:
        rules = rules_schema.parse(_text(options.rules, RulesError), str(options.rules))
    name = " with ".join(filter(None, [options.generation, options.rules and options.rules.name]))
    return {name: Arm(share=1.0, generation=options.generation, rules=rules)}


def _text(file: Path, error: type[TandemError]) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as problem:
        raise error(f"{file} can't be read: {problem.strerror}.") from problem
    except UnicodeDecodeError as problem:
        raise error(f"{file} can't be read: it is not UTF-8.") from problem


def _require_writable(option: str, file: Path) -> None:
    """SettingsError unless the file's folder exists: before minutes of work."""
    if file.is_dir() or not os.access(file.parent, os.W_OK):
        what = "is a folder" if file.is_dir() else f"can't be written: there is no folder {file.parent} to write to"
        raise SettingsError(f"{option}: {file} {what}. Name a file in a folder that exists.")


def _files(place: Location) -> list[Location]:
    """The files of impressions of a folder, oldest first. DatasetError if there are none."""
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


def _events(options: argparse.Namespace, impressions: Location) -> Location:
    """The folder of collected events. DatasetError if --events has none."""
    if not options.events:
        return impressions.parent / collected.FOLDER
    folder = Location.of(options.events)
    if not by_day(folder):
        raise DatasetError(
            f"--events: there are no collected events in {folder}, no folder such as {DAY}2026-12-01 with a Parquet "
            "file. Name the folder events that flows drain writes, or leave the option out."
        )
    return folder


def lines(name: str, judged: ArmJudgement) -> list[str]:
    """The printed lines of an arm."""
    found = judged.found
    if isinstance(found, Refusal):
        return [f"{name}: no estimate. {found.sentence}", *judged.notes]
    fewest = found.overlap.effective_users[found.places - 1]
    rows = [
        f"{name}: items that a user takes in {found.scope}, with 95 % intervals, from {judged.slates:,} slates "
        f"({fewest:.0f} effective users)"
    ]
    for field, words in NAMES.items():
        each = getattr(found, field)
        rows.append(f"  {words:<28}{each.value:.4f}  {each.low:.4f} to {each.high:.4f}")
    if found.outside:
        rows.append(f"The log can't show {found.outside:.1%} of what the policy shows; the log's draws count there.")
    return [*rows, *judged.notes]
