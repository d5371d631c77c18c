"""Train and evaluate: the steps of `training.recipe` as tasks, and the metrics as artifacts."""

from __future__ import annotations

from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.orchestration import best_effort, step
from flows.progress import artifact_key
from recsys.generation.manifest import GenerationFolder
from training import recipe
from training.config import TrainingConfig
from training.data.dataset import Dataset
from training.data.interaction_log import Log
from training.evaluation.live_comparison import Comparison
from training.evaluation.live_model import LiveModel
from training.evaluation.metric_table import Evaluation
from training.evaluation.split import Split
from training.export import export
from training.gate.dataset_profile import DataProfile
from training.progress import Watch
from training.recipe import Taught, Trained
from training.towers.checkpoint import Checkpoints


@step
def train(parts: Split, config: TrainingConfig, watch: Watch, checkpoints: Checkpoints) -> Taught:
    """The ranker, taught by labels later than all its towers saw."""
    return recipe.teach_ranker(parts, config, watch, checkpoints)


@step
def evaluate(
    dataset: Dataset,
    parts: Split,
    taught: Taught,
    config: TrainingConfig,
    watch: Watch,
    checkpoints: Checkpoints,
    live: LiveModel | Comparison | None,
) -> Evaluation:
    """The metric table on the newest part of the log, left behind as two artifacts; live: to be compared with."""
    evaluation = recipe.evaluate(parts, taught, config, watch, checkpoints, live)
    with best_effort():
        leave_artifacts(dataset.name, evaluation)
    return evaluation


@step
def retrain(
    log: Log, taught: Taught, evaluation: Evaluation, config: TrainingConfig, watch: Watch, checkpoints: Checkpoints
) -> Trained:
    """The model over every event: what goes out."""
    return recipe.finish(log, taught, evaluation, config, watch, checkpoints)


@step
def build(
    dataset: Dataset,
    log: Log,
    trained: Trained,
    config: TrainingConfig,
    folder: Path,
    watch: Watch,
    *,
    profile: DataProfile,
    forced: list[str],
) -> GenerationFolder:
    """The sealed generation folder, each user's candidates precomputed."""
    with watch("candidates of every user") as progress:
        name, bad_rows = dataset.name, dataset.bad_rows
        return export(folder, log, trained, config, name, bad_rows, progress, profile=profile, forced=forced)


def leave_artifacts(name: str, evaluation: Evaluation) -> None:
    """Leave the metric table in Prefect, for people and as rows."""
    notes = "".join(f"\n\nNote: {warning}" for warning in evaluation.warnings)
    create_markdown_artifact(
        evaluation.to_markdown() + notes, key=artifact_key("metrics", name), description=f"Metrics of {name}"
    )
    rows = [{"model": model, **row} for model, row in evaluation.rows.items()]
    create_table_artifact(rows, key=artifact_key("metrics-table", name), description=f"Metrics of {name}, as rows")
