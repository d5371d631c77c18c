"""The steps of the training flow as Prefect tasks: read the dataset, train and evaluate the models, write and publish
them.

They call `training.recipe`, and show the metrics as a Prefect artifact.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact

from flows.operate import publish_and_promote as publication
from flows.orchestration import best_effort, step, store_step
from flows.progress import artifact_key
from recsys.environment import Environment
from recsys.generation.manifest import GenerationFolder
from recsys.user_digest import DeletedUsers
from training import recipe
from training.encode.interaction_log import Log, encode
from training.encode.split import Split
from training.export.generation import Origin, TrainedModel, export
from training.judge.gate.dataset_profile import DataProfile
from training.judge.metric_table import Evaluation
from training.offpolicy import tested_model
from training.rank.fit_ranker import RankerFit
from training.read.dataset import Dataset, read
from training.read.mapping import Mapping
from training.recipe import PolicyJudge, Rival, TrainingRun

read_impressions = step(recipe.read_impressions)
policy_judge = step(tested_model.policy_judge)
train_ranker = step(recipe.train_ranker)
train_on_everything = step(recipe.train_on_everything)
publish_and_promote = store_step(publication.publish)


@step
def ingest(
    data: str, environment: Environment, run: TrainingRun, deleted: DeletedUsers
) -> tuple[Dataset, Log, DataProfile, list[str]]:
    """The validated dataset at `data`, its log and profile, and notes; bad rows go to TANDEM_HOME/quarantine/NAME.

    deleted: users whose rows before their deletion are left out. The dataset that is returned has no rows of
    interactions: Prefect holds what a task returns to the end of the flow, and the log has these rows in fewer bytes.
    """
    quarantine = environment.folder("quarantine") / file_name(Mapping.read(data).name)
    shutil.rmtree(quarantine, ignore_errors=True)
    with run.progress.step("reading the dataset") as shown:
        dataset = read(data, quarantine, deleted, run.engine, shown)
    for assumption in dataset.notes.assumptions:
        get_run_logger().warning(assumption)
    log, rows = encode(dataset), dataset.interactions
    profile, notes = DataProfile.of(dataset, log), dataset.notes.lines(len(rows), str(quarantine))
    return replace(dataset, interactions=rows.iloc[:0].copy()), log, profile, notes


def file_name(name: str) -> str:
    """A dataset's name as a file name."""
    return re.sub(r"[^\w-]+", "-", name).strip("-").lower() or "dataset"


@step
def evaluate(
    name: str,
    parts: Split,
    ranker: RankerFit,
    run: TrainingRun,
    rivals: tuple[Rival, Rival],
    policy: PolicyJudge | None,
) -> Evaluation:
    """The metric table on the newest part of the log, also as an artifact.

    rivals: the live generation and the best one of 30 days, to compare with. policy: judges the tested model too.
    """
    live, best = rivals
    evaluation = recipe.evaluate(parts, ranker, run, live, best, policy)
    text = "\n\n".join([evaluation.to_markdown(), *(f"Note: {warning}" for warning in evaluation.warnings)])
    with best_effort():
        create_markdown_artifact(text, key=artifact_key("metrics", name), description=f"Metrics of {name}")
    return evaluation


@step
def build(log: Log, trained: TrainedModel, origin: Origin, folder: Path, run: TrainingRun) -> GenerationFolder:
    """The sealed generation folder, with precomputed candidates of each user."""
    with run.progress.step("candidates of every user") as shown:
        return export(folder, log, trained, run.config, origin, shown, run.engine)
