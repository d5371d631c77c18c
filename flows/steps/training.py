"""The training steps of the training flow as Prefect tasks: train the models, evaluate them and write the model files.

They call `training.recipe`, and show the metrics as Prefect artifacts.
"""

from __future__ import annotations

from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.orchestration import best_effort, step
from flows.progress import artifact_key
from recsys.generation.manifest import GenerationFolder
from training import recipe
from training.data.interaction_log import Log
from training.evaluation.live_model import LiveModel
from training.evaluation.metric_table import Comparison, Evaluation
from training.evaluation.split import Split
from training.export import Origin, export
from training.ranker.fit_ranker import RankerFit
from training.recipe import TrainedModel, TrainingRun

train_ranker = step(recipe.train_ranker)
train_on_everything = step(recipe.train_on_everything)


@step
def evaluate(
    name: str, parts: Split, ranker: RankerFit, run: TrainingRun, live: LiveModel | Comparison | None
) -> Evaluation:
    """The metric table on the newest part of the log, also as two artifacts. live: the generation to compare with."""
    evaluation = recipe.evaluate(parts, ranker, run, live)
    with best_effort():
        write_metrics(name, evaluation)
    return evaluation


@step
def build(log: Log, trained: TrainedModel, origin: Origin, folder: Path, run: TrainingRun) -> GenerationFolder:
    """The sealed generation folder, with precomputed candidates of each user."""
    with run.progress.step("candidates of every user") as shown:
        return export(folder, log, trained, run.config, origin, shown)


def write_metrics(name: str, evaluation: Evaluation) -> None:
    """Write the metric table to Prefect, as text and as rows."""
    notes = "".join(f"\n\nNote: {warning}" for warning in evaluation.warnings)
    create_markdown_artifact(
        evaluation.to_markdown() + notes, key=artifact_key("metrics", name), description=f"Metrics of {name}"
    )
    rows = [{"model": model, **row} for model, row in evaluation.rows.items()]
    create_table_artifact(rows, key=artifact_key("metrics-table", name), description=f"Metrics of {name}, as rows")
