"""The whole way from a dataset to a live generation."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from prefect import flow

from flows.gate import judge_data, judge_model, judge_trained, load_live, look_at_live, stop_unless
from flows.ingest import ingest, quarantine_of
from flows.model_store import ModelStore
from flows.publish import forget, promote, publish
from flows.report import leave_report, reporting
from flows.train import build, evaluate, retrain, train
from recsys.environment import Environment
from recsys.generation import Manifest
from recsys.publisher import Publisher
from recsys.store.connect import open_store
from recsys.trial import try_out
from training.check import Check, failed
from training.checkpoint import Checkpoints
from training.config import TrainingConfig
from training.device import find_device
from training.evaluation import Evaluation
from training.log import encode
from training.mapping import Mapping
from training.notes import notes
from training.report.curves import Curves
from training.report.findings import Findings
from training.split import split
from training.tensorboard import TensorBoard
from training.watch import Watch


@dataclass(frozen=True)
class Published:
    """What a run left behind. notes: what a person should know of the dataset, a line each."""

    manifest: Manifest
    evaluation: Evaluation
    checks: list[Check]
    report: Path | None
    notes: list[str] = field(default_factory=list)


@flow(name="run", validate_parameters=False)
def run(
    data: str,
    config: TrainingConfig,
    force: bool,
    watch: Watch,
) -> Published:
    """Ingest, train, evaluate, pass the gate, publish, promote; force: past a gate that refuses."""
    find_device(config.device)  # a GPU that is not there is an error before anything is read
    environment = Environment.read()  # no parameter: Prefect keeps those, and a REDIS_URL may hold a password
    board = TensorBoard(environment.folder("tensorboard"), Mapping.read(data).name)
    # The store first: one that is out of reach should not be found out after a minute of training.
    with closing(board), open_store(environment) as store:
        generations, folder = store.generations(), environment.folder("generations")
        publisher = Publisher(generations, environment.folder("trials"), try_out, environment.redis_budget)
        models = ModelStore(environment)
        curves, checkpoints = Curves(board.watch(watch)), Checkpoints(environment.folder("checkpoints"))

        dataset = ingest(data, environment, curves)
        said = notes(dataset, str(quarantine_of(environment, dataset.name)))
        log = encode(dataset)
        with reporting(Findings.of(dataset, log, config, curves.curves), environment) as findings:
            live = findings.live = look_at_live(generations)
            findings.checks += judge_data(findings.data, live)
            stop_unless(force, findings.checks, dataset.name, live)

            parts = split(log, config, dataset.protocol, dataset.moments)
            taught = train(parts, config, curves, checkpoints)
            rival = load_live(live, findings.data, log, generations, environment.folder("cache"))
            evaluation = findings.evaluation = evaluate(dataset, parts, taught, config, curves, checkpoints, rival)
            board.result(config, evaluation)
            findings.checks += judge_model(evaluation, findings.data, live)
            stop_unless(force, findings.checks, dataset.name, live)

            trained = retrain(log, taught, evaluation, config, curves, checkpoints)
            evaluation = findings.evaluation = trained.evaluation  # which may say more
            findings.checks += judge_trained(log, trained)
            stop_unless(force, findings.checks, dataset.name, live)

            profile, forced = findings.data, failed(findings.checks)
            generation = build(dataset, log, trained, config, folder, curves, profile=profile, forced=forced)
            models.save(generation)
            manifest = publish(generation, publisher, curves)
            promote(manifest, generations)
            findings.generation = manifest.id

        forget(publisher, folder)
        models.prune({path.name for path in folder.iterdir()})
        checkpoints.clear()
        report = leave_report(findings, environment)
    return Published(manifest, evaluation, findings.checks, report, said)
