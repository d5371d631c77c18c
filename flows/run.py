"""The whole way from a dataset to a live generation."""

from __future__ import annotations

from dataclasses import dataclass

from prefect import flow

from flows.ingest import ingest, remember
from flows.publish import forget, promote, publish
from flows.train import build, evaluate, retrain, train
from recsys.environment import Environment
from recsys.generation import Manifest
from recsys.store.connect import open_store
from training.config import TrainingConfig
from training.evaluation import Evaluation
from training.log import encode
from training.split import split
from training.watch import Watch


@dataclass(frozen=True)
class Published:
    """What a run left behind."""

    manifest: Manifest
    evaluation: Evaluation


@flow(name="run", validate_parameters=False)
def run(
    data: str,
    config: TrainingConfig,
    allow_shrink: bool,
    watch: Watch,
) -> Published:
    """Ingest, train, evaluate, publish, promote."""
    environment = Environment.read()  # no parameter: Prefect keeps those, and a REDIS_URL may hold a password
    # The store first: one that is out of reach should not be found out after a minute of training.
    with open_store(environment) as store:
        generations, folder = store.generations(), environment.folder("generations")

        dataset = ingest(data, environment, allow_shrink, watch)
        log = encode(dataset)
        parts = split(log, config, moments=dataset.moments)

        taught = train(parts, config, watch)
        evaluation = evaluate(dataset, parts, taught, config, watch)
        trained = retrain(log, taught, evaluation, config, watch)

        generation = build(dataset, log, trained, config, folder, watch)
        manifest = publish(generation, generations, watch)
        promote(manifest, generations)

        forget(generations, folder)
        remember(dataset, environment)
    return Published(manifest, evaluation)
