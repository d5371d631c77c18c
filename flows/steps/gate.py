"""The gate of the training flow: check the data and the models, compare them with the live ones, and refuse bad ones.

The checks themselves are in `training.judge.gate`. These are the Prefect tasks that run them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict

from prefect import get_run_logger
from prefect.artifacts import create_table_artifact

from flows.orchestration import best_effort, step, store_step
from flows.progress import artifact_key
from recsys.environment import Environment
from recsys.errors import GateRefused, GenerationError
from recsys.generation import content_checks
from recsys.generation.cache import GenerationCache
from recsys.generation.manifest import GenerationFolder, Manifest
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.stored_types import LIVE
from training.encode.interaction_log import Log
from training.encode.split import Split
from training.export.generation import TrainedModel
from training.judge.gate.check import Check, failed
from training.judge.gate.dataset_profile import DataProfile, LiveGeneration
from training.judge.gate.gate import check_data, check_model, check_trained, comparable
from training.judge.gate.past_generations import best_of
from training.judge.inspection import score_spread
from training.judge.live_model import LiveModel
from training.judge.metric_table import Comparison
from training.judge.replay import ReplayedModel
from training.judge.run_page import RunReport
from training.recipe import Rival, published_rows


@store_step
def read_live_generation(store: RedisGenerationStore) -> LiveGeneration | None:
    """The live generation, to compare with; None if nothing is live."""
    generation = store.alias(LIVE)
    text = store.read_manifest(generation) if generation else None
    return LiveGeneration.of(Manifest.from_json(text, any_format=True)) if text else None


@store_step
def load_rivals(
    live: LiveGeneration | None, data: DataProfile, parts: Split, store: RedisGenerationStore, environment: Environment
) -> tuple[Rival, Rival]:
    """The live generation and the best one of 30 days, if the model under test can be compared with them."""
    if live is None or comparable(data, live) is None:
        return None, None
    same = (live.protocol, live.targets) == (parts.protocol, parts.log.catalogue.spec.events.targets)
    best = best_of(live.past, time.time()) if same else None
    live_one = _load(live.id, parts.log, store, environment)
    return live_one, _load(best.id, parts.log, store, environment) if best else None


def _load(generation: str, log: Log, store: RedisGenerationStore, environment: Environment) -> LiveModel | Comparison:
    """A generation of the store or of this host, or the reason why it can't be scored."""
    folder = GenerationFolder(environment.folder("generations") / generation)
    try:
        if not folder.is_verified:
            folder = GenerationCache(environment.folder("cache"), store, content_checks.check).fetch(generation)
        return LiveModel(folder, log)
    except GenerationError as error:
        return Comparison(generation, reason=f"it can't be loaded ({str(error).rstrip('.')})")


check_dataset = step(check_data)
check_tested_model = step(check_model)


@step
def check_final_model(parts: Split, trained: TrainedModel) -> list[Check]:
    """The checks of the model that is published. It learned all events, so it is compared with the tested model."""
    spread = score_spread(parts.log, ReplayedModel.of(parts.log, trained.stage, trained.net, parts.log))
    return check_trained(spread, trained.evaluation, published_rows(parts, trained))


def enforce_gate(report: RunReport, checks: Sequence[Check], force: bool) -> None:
    """Add checks to the report and write all as an artifact; GateRefused if one failed. With `force`, log a warning."""
    report.checks += checks
    for line in failed(checks):
        get_run_logger().warning("The gate: %s", line)
    name = report.data.name
    with best_effort():
        create_table_artifact(
            [asdict(check) for check in report.checks],
            key=artifact_key("gate", name),
            description=f"The gate's checks of {name}",
        )
    lines = failed(report.checks)
    if lines and not force:
        refused = [asdict(check) for check in report.checks if check.verdict == "failed"]
        raise GateRefused(refusal(lines, report.live), refused)
    if lines:
        get_run_logger().warning("Forced past the gate (--force), with %d failed checks.", len(lines))


def refusal(lines: Sequence[str], live: LiveGeneration | None) -> str:
    """The message of a refusal: each failed check, and the option that overrides the gate."""
    stays = f"{live.id} stays live" if live else "nothing was published"
    failures = "".join(f"\n  - {line}" for line in lines)
    again = "If all of that is meant, run again with --force (make run: FORCE=1)."
    return f"The gate refused this run, and {stays}:{failures}\n{again}"
