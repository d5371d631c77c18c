"""The Prefect flow `monitor`: it sets the share of an arm that breaks a guardrail to 0, with the reason.

An arm is a variant of the recommendations that a part of the users gets (docs/experiments.md). The flow reads what the
gateways counted for each arm. It keeps these looks in the store, and the next run computes what was counted since.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from prefect import get_run_logger
from pydantic import Field

from flows.orchestration import store_step, write_result
from flows.run_records import recorded_flow
from flows.steps.gateway_metrics import addresses, read_counts
from recsys.environment import Environment
from recsys.errors import ExperimentError, SettingsError
from recsys.experiments import changes
from recsys.experiments.document import Experiment, ExperimentsDocument
from recsys.experiments.running_experiments import Halts
from recsys.store.from_environment import open_store
from recsys.store.redis.redis_experiments import RedisExperimentStore
from training.experiments.guardrails import LOOKS, ArmCounts, Look, breach, counts_since, kept


@dataclass(frozen=True)
class MonitorResult:
    """The result of a run. arms: arms that were judged. halted: the reason of each arm that was halted now.

    unread: gateways whose metrics could not be read, with the reason.
    """

    arms: int = 0
    halted: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


@recorded_flow("monitor", timeout_seconds=300)
def monitor(
    gateways: Annotated[list[str], Field(description="URLs of gateways with /metrics")],
    key_file: Annotated[str | None, Field(description="a file with a key of the scope admin")] = None,
) -> MonitorResult:
    """Halt each arm that breaks a guardrail, and stop experiments at their end.

    ExperimentError if experiments run and no gateway can be read: such a run must not look like a look.
    """
    with open_store(Environment.read()) as opened:
        result = watch(opened.experiments(), gateways, key_file)
    for gateway, why in result.unread.items():
        get_run_logger().warning("The arms at %s were not judged. %s", gateway, why)
    for arm, why in result.halted.items():
        get_run_logger().warning("Arm %s was halted: %s", arm, why)
    write_result(result)
    if result.unread and result.arms == 0:
        raise ExperimentError(
            f"No arm was judged, because no gateway could be read. {next(iter(result.unread.values()))}"
        )
    return result


@store_step
def watch(store: RedisExperimentStore, gateways: Sequence[str], key_file: str | None) -> MonitorResult:
    """Look at the gateways, halt arms in the document, and stop experiments at their end."""
    now = time.time()
    document = store.change(lambda newest: changes.stop_ended(newest, now))
    running = document.running(now)
    if not running:
        return MonitorResult()
    look, unread = _look([each for name in gateways for each in addresses(name)], _key(key_file), now)
    looks = LOOKS.validate_json(store.looks() or b"[]")
    reasons = _breaches(running, looks, look) | store.halts(document)
    changed = store.change(lambda newest: _halted(newest, reasons, now))
    store.keep_looks(LOOKS.dump_json(kept(looks, look)))
    new = {
        f"{name}/{arm}": why
        for name, experiment in changed.experiments.items()
        for arm, why in experiment.halted.items()
        if (name, arm) in reasons and arm not in document.experiments[name].halted
    }
    judged = sum(len(each.arms_in_force()) for each in running) if look.counts else 0
    return MonitorResult(judged, new, unread)


def _look(gateways: Sequence[str], key: str, now: float) -> tuple[Look, dict[str, str]]:
    """The counters of the gateways that answer, and why the others can't be read."""
    counts: dict[str, Mapping[str, ArmCounts]] = {}
    unread: dict[str, str] = {}
    for gateway in gateways:
        try:
            counts[gateway] = read_counts(gateway, key)
        except SettingsError as error:
            unread[gateway] = str(error)
    return Look(now, counts), unread


def _breaches(running: Sequence[Experiment], looks: Sequence[Look], now: Look) -> dict[tuple[str, str], str]:
    """Why arms break a guardrail, by what the gateways counted since the last change of their experiment."""
    found = {}
    for experiment in running:
        counted = counts_since(looks, now, max(change.at for change in experiment.changes))
        for arm in experiment.arms_in_force():
            why = breach(experiment.definition.guardrails, counted.get(f"{experiment.name}/{arm}", ArmCounts()))
            if why:
                found[experiment.name, arm] = why
    return found


def _halted(document: ExperimentsDocument, reasons: Halts, now: float) -> ExperimentsDocument:
    """The document with these arms halted, as far as their experiments still run."""
    for (name, arm), why in reasons.items():
        if name in document.experiments and document.experiments[name].status == "running":
            document = changes.halt(document, name, arm, why, now)
    return document


def _key(path: str | None) -> str:
    """The key in a file; SettingsError if the file can't be read."""
    if path is None:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise SettingsError(f"The key file {path} can't be read: {error}.") from error
