"""The Prefect flow `train`: read a dataset, train and evaluate the models, check them, publish them and make them live.

The trained models and tables together are a generation. The checks before it is published are the gate.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from flows.forgetting.generations_lock import generations_lock
from flows.forgetting.training_deletions import Deletions, forget_later
from flows.orchestration import name_run
from flows.progress import run_progress
from flows.run_records import recorded_flow
from flows.steps.gate import (
    check_dataset,
    check_final_model,
    check_tested_model,
    enforce_gate,
    load_rivals,
    read_live_generation,
)
from flows.steps.report import reporting, write_report
from flows.steps.training import (
    build,
    evaluate,
    ingest,
    policy_judge,
    publish_and_promote,
    read_impressions,
    train_on_everything,
    train_ranker,
)
from recsys.environment import Environment
from recsys.generation.loader import check_servable
from recsys.generation.manifest import GenerationFolder, Manifest
from recsys.store.from_environment import OpenStore, open_store
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.run_record import RunFigures
from training.config import TrainingConfig
from training.device import find_device
from training.export.generation import Origin
from training.judge.gate.check import Check, failed
from training.judge.gate.gate import better_before
from training.judge.metric_table import METRICS, SERVED, Evaluation
from training.judge.run_page import RunReport
from training.options import training_config
from training.processes.engine import Engine, open_engine
from training.progress import LearningCurves, RunProgress
from training.read.dataset import Dataset
from training.read.mapping import Mapping
from training.recipe import TrainingRun, own_split
from training.stage_files import StageFiles
from training.tensorboard import TensorBoard


@dataclass(frozen=True)
class TrainResult:
    """The result of a run. notes: sentences about the dataset and the evaluation."""

    manifest: Manifest
    evaluation: Evaluation
    checks: list[Check]
    report: Path | None
    notes: list[str] = field(default_factory=list)

    def figures(self) -> RunFigures:
        """The figures for the record of the run: rows in are read and collected ones, rows out those trained on."""
        data, served = self.manifest.data, self.manifest.metrics.get(SERVED, {})
        return RunFigures(
            data["read"]["interactions"] + data["read"].get("collected", 0),
            data["rows"],
            data["bad_rows"],
            served.get(METRICS[0]),
            self.manifest.id,
            self.manifest.size,
        )


@recorded_flow("train", timeout_seconds=4 * 3_600)
def run(
    data: Annotated[str, Field(description="a folder with a dataset.toml, or such a file")],
    config: Annotated[Literal["small", "full"], Field(description="how long to train")] = "full",
    overrides: Annotated[dict[str, Any] | None, Field(description='such as {"tower": {"epochs": 4}}')] = None,
    force: Annotated[bool, Field(description="promote although the gate refuses")] = False,
) -> TrainResult:
    """Ingest, train, evaluate, pass the gate, publish, promote."""
    mapping = Mapping.read(data)
    settings = training_config(config, mapping.training, overrides, f"[training] of {mapping.path}")
    find_device(settings.device)  # a missing GPU is an error before the dataset is read
    environment = Environment.read()  # not a parameter: Prefect stores parameters, and REDIS_URL may hold a password
    board = TensorBoard(environment.folder("tensorboard"), mapping.name)
    # An unreachable store ends the run before the training.
    with (
        closing(board),
        open_store(environment) as store,
        open_engine(environment) as engine,
        run_progress() as progress,
    ):
        return train_and_publish(data, settings, force, environment, store, board, progress, engine)


def train_and_publish(
    data: str,
    config: TrainingConfig,
    force: bool,
    environment: Environment,
    store: OpenStore,
    board: TensorBoard,
    progress: RunProgress,
    engine: Engine,
) -> TrainResult:
    """Run the steps in their order; GateRefused if a check of the gate failed and the run is not forced."""
    generations, deletions = store.generations(), Deletions(store.flows())
    curves, files = LearningCurves(), StageFiles(environment.folder("stages"))
    run = TrainingRun(config, progress.shown_on(board, curves), files, engine)
    dataset, log, profile, notes = ingest(data, environment, run, deletions.before)
    with reporting(RunReport(profile, config, curves.curves), environment) as report:
        live = report.live = read_live_generation(generations)
        enforce_gate(report, check_dataset(report.data, live), force)

        parts = own_split(dataset, log, config)
        slates = read_impressions(dataset, parts, run, deletions.before)
        ranker = train_ranker(parts, run, slates)
        rivals = load_rivals(live, report.data, parts, generations, environment)
        policy = policy_judge(dataset, parts, deletions.before)
        evaluation = report.evaluation = evaluate(dataset.name, parts, ranker, run, rivals, policy)
        board.result(config, evaluation)
        enforce_gate(report, check_tested_model(evaluation, report.data, live), force)

        trained = train_on_everything(log, ranker, evaluation, run)
        enforce_gate(report, check_final_model(parts, trained), force)

        folder = environment.folder("generations")
        with generations_lock(folder):  # `drain` removes no user meanwhile
            generation = build(log, trained, _origin(dataset, report, evaluation), folder, run)
            manifest = _publish(generation, deletions, generations, environment, run)
        report.generation = manifest.id
    files.clear()
    page, notes = write_report(report, environment), [*evaluation.warnings, *notes]
    return TrainResult(manifest, evaluation, report.checks, page, notes)


def _origin(dataset: Dataset, report: RunReport, evaluation: Evaluation) -> Origin:
    """What the manifest has of the run. A forced one starts anew: the next run is compared with no older generation."""
    forced = failed(report.checks)
    past = [] if forced else better_before(report.live, report.data, evaluation, time.time())
    return Origin(dataset.name, dataset.notes.bad_rows(), report.data, forced, past)


def _publish(
    generation: GenerationFolder,
    deletions: Deletions,
    store: RedisGenerationStore,
    environment: Environment,
    run: TrainingRun,
) -> Manifest:
    """Publish a generation and make it live, without the users who were deleted since the training began."""
    forget_later(deletions, generation)
    manifest = generation.manifest
    name_run(f"train-{manifest.id}")
    publish_and_promote(str(generation.path), store, environment, run.progress, smoke=check_servable)
    forget_later(deletions, generation)  # again: users may have been deleted while it was published
    return manifest
