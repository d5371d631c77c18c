"""Read an experiment from a file, change it in the store, and show it, for `python -m flows experiment`."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from recsys import surfaces
from recsys.environment import Environment
from recsys.errors import ExperimentError
from recsys.experiments import changes, former_layers
from recsys.experiments.arm_lists import makes_lists
from recsys.experiments.changes import percent
from recsys.experiments.definition import Definition, parse, to_toml
from recsys.experiments.document import DocumentChange, Experiment, ExperimentsDocument
from recsys.generation.manifest import SPEC, Manifest
from recsys.model.feature_spec import FeatureSpec
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.stored_types import LIVE


def read_file(path: Path) -> Definition:
    """The experiment of a TOML or JSON file; ExperimentError with a sentence."""
    try:
        return parse(path.read_text(encoding="utf-8"), path.name)
    except OSError as error:
        raise ExperimentError(f"{path} can't be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ExperimentError(f"{path} is not a text in UTF-8.") from error


def check_surfaces(definition: Definition, environment: Environment) -> str | None:
    """ExperimentError if the audience has a surface that the file of surfaces lacks; a note if there is no file."""
    wanted, path = definition.audience.surfaces, environment.surfaces
    if not wanted:
        return None
    if not path.is_file():
        return f"There is no {path.name} here, so nothing checked that the gateways have the surface {wanted[0]}."
    known = surfaces.parse(path.read_text(encoding="utf-8"), path.name)
    if unknown := [name for name in wanted if name not in known]:
        raise ExperimentError(
            f"audience.surfaces has {unknown[0]}; the surfaces of {path.name} are {', '.join(known)}."
        )
    return None


def check_context(definition: Definition, columns: Iterable[str]) -> None:
    """ExperimentError if the audience has a context column that the live generation lacks. columns: those it has."""
    known = [*columns]
    if unknown := [name for name in definition.audience.context if name not in known]:
        has = f"has {', '.join(known)}" if known else "has none"
        raise ExperimentError(f"audience.context has {unknown[0]}; the live generation {has}.")


def live_spec(generations: RedisGenerationStore) -> FeatureSpec | None:
    """The feature spec of the live generation, with its context columns and event types; None if nothing is live."""
    live = generations.alias(LIVE)
    manifest = generations.read_manifest(live) if live else None
    if live is None or manifest is None:
        return None
    size = Manifest.from_json(manifest).parts[SPEC].bytes
    return FeatureSpec.from_json(b"".join(generations.read_part(live, SPEC, size)))


def ramp_or_start(name: str, wanted: float | None) -> DocumentChange:
    """The change to a ramp of `wanted` percent; None: to start the experiment, again after a pause."""
    if wanted is None:
        return changes.unless_changed(name, lambda document: changes.start(document, name, time.time()))
    return changes.unless_changed(name, lambda document: changes.ramp(document, name, wanted / 100, time.time()))


def needs_lists(before: ExperimentsDocument, change: DocumentChange, name: str, live: str | None) -> bool:
    """Whether a change moves users into an arm with lists of its own. The refusal of the change is raised."""
    experiment = change(before).experiments[name]
    grows = any(
        new > old for new, old in zip(experiment.lanes.stops, before.experiments[name].lanes.stops, strict=True)
    )
    return grows and live is not None and makes_lists(experiment, live)


def state(experiment: Experiment) -> str:
    """The state in words, such as `running at 5 %`."""
    ramps = experiment.status in ("running", "paused") and experiment.definition.assignment == "salt"
    return f"{experiment.status} at {percent(experiment.ramp)}" if ramps else experiment.status


def shares(experiment: Experiment) -> str:
    """The share of all users that each arm has now."""
    if experiment.definition.assignment == "caller":
        return "as callers name them"
    lanes = experiment.lanes
    part = lanes.former.share if lanes.former else 1.0
    spans = zip(lanes.arms, lanes.starts, lanes.stops, strict=True)
    return ", ".join(f"{arm} {percent((stop - start) * part)}" for arm, start, stop in spans)


def to_table(experiments: Iterable[Experiment]) -> Table:
    """The table for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("experiment", "state", "users in arms", "generations", "last change"):
        table.add_column(name, overflow="fold")  # no name is cut off
    for each in experiments:
        last = each.changes[-1] if each.changes else None
        named = dict.fromkeys(arm.generation for arm in each.definition.arms.values() if arm.generation)
        change = escape(f"{_when(last.at)} {last.what}") if last else ""
        table.add_row(
            each.name, state(each), shares(each) if each.status == "running" else "", ", ".join(named), change
        )
    return table


def to_text(experiment: Experiment) -> str:
    """The definition as `experiment create` reads it, with the state and the history in comments."""
    lines = [f"state: {state(experiment)}", f"users in arms: {shares(experiment)}"]
    if former := former_layers.part_of(experiment):
        first, last = former.slot
        of_layer = f"positions {first:g} to {last:g} of the layer {former.layer}, holdout {former.holdout:g}"
        lines.append(f"of the release before: {of_layer}")
    lines += [f"{arm} is halted: {reason}" for arm, reason in experiment.halted.items()]
    lines += [f"{_when(change.at)} {change.what} ({change.by})" for change in experiment.changes]
    comments = "\n".join(f"# {' '.join(line.split())}" for line in lines)
    return f"{comments}\n\n{to_toml(experiment.definition)}".rstrip()


def _when(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
