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
from training.evaluation.live_model import LiveModel
from training.evaluation.metric_table import Comparison, Evaluation
from training.evaluation.split import Split
from training.export import Origin, export
from training.progress import RunProgress
from training.ranker.fit_ranker import RankerFit
from training.recipe import TrainedModel
from training.towers.checkpoint import Checkpoints


@step
def train(parts: Split, config: TrainingConfig, progress: RunProgress, checkpoints: Checkpoints) -> RankerFit:
    """The ranker, taught by labels later than all its towers saw."""
    return recipe.train_ranker(parts, config, progress, checkpoints)


@step
def evaluate(
    dataset: Dataset,
    parts: Split,
    ranker: RankerFit,
    config: TrainingConfig,
    progress: RunProgress,
    checkpoints: Checkpoints,
    live: LiveModel | Comparison | None,
) -> Evaluation:
    """The metric table on the newest part of the log, left behind as two artifacts; live: to be compared with."""
    evaluation = recipe.evaluate(parts, ranker, config, progress, checkpoints, live)
    with best_effort():
        leave_artifacts(dataset.name, evaluation)
    return evaluation


@step
def retrain(
    log: Log,
    ranker: RankerFit,
    evaluation: Evaluation,
    config: TrainingConfig,
    progress: RunProgress,
    checkpoints: Checkpoints,
) -> TrainedModel:
    """The model over every event: what goes out."""
    return recipe.train_on_everything(log, ranker, evaluation, config, progress, checkpoints)


@step
def build(
    log: Log, trained: TrainedModel, config: TrainingConfig, origin: Origin, folder: Path, progress: RunProgress
) -> GenerationFolder:
    """The sealed generation folder, each user's candidates precomputed."""
    with progress.step("candidates of every user") as shown:
        return export(folder, log, trained, config, origin, shown)


def leave_artifacts(name: str, evaluation: Evaluation) -> None:
    """Leave the metric table in Prefect, for people and as rows."""
    notes = "".join(f"\n\nNote: {warning}" for warning in evaluation.warnings)
    create_markdown_artifact(
        evaluation.to_markdown() + notes, key=artifact_key("metrics", name), description=f"Metrics of {name}"
    )
    rows = [{"model": model, **row} for model, row in evaluation.rows.items()]
    create_table_artifact(rows, key=artifact_key("metrics-table", name), description=f"Metrics of {name}, as rows")
