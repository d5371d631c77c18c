"""The recipe of a model, the order of all training steps: train, evaluate on the newest events, then train again on
every event.

    events before T1        → towers, tables  ┐
    labels T1..T2           → the ranker      ┘ and the number of the towers' epochs; later than the towers and tables
    events before T2        → towers, tables  ┐
    test T2..end            → the metrics     ┘ with that ranker
    every event             → towers, tables    what is served, with that ranker

T1 and T2 are moments of the log. The towers are networks and the tables are figures of items, which retrieve
candidates; the ranker orders the candidates. `python -m flows run` and `python -m training evaluate` run these steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial

import numpy as np
import torch

from recsys.environment import Environment
from recsys.model.features import names
from recsys.model.ranker import RankerNet
from recsys.user_digest import DeletedUsers
from training.config import TrainingConfig
from training.device import find_device
from training.encode.interaction_log import Log
from training.encode.slate_events import slate_events
from training.encode.split import Split, split
from training.export.generation import TrainedModel
from training.fit.first_stage import FirstStage, fit_first_stage
from training.fit.validation import tower_validation
from training.judge.inspection import preview
from training.judge.live_model import LiveModel, compare
from training.judge.metric_table import SERVED, TOWER, Comparison, Evaluation, Row
from training.judge.ranking import metric_rows, newest_events
from training.judge.replay import ReplayedModel
from training.judge.scorers import baselines, scorers_at, served_at, stages
from training.processes import process_group
from training.processes.engine import LOCAL, Engine
from training.progress import NO_PROGRESS, RunProgress
from training.rank.fit_ranker import RankerFit, fit_ranker
from training.rank.shown_slates import ShownSlates, grade_of
from training.read.dataset import Dataset
from training.read.day_partitions import by_day
from training.read.impressions import FOLDER, WantedSlates, read
from training.read.locations import exports
from training.read.mapping import Moments
from training.results import ArmJudgement
from training.stage_files import StageFiles


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """What the steps of one training run share. files: of its stages; None where a killed run starts at its beginning.

    engine: does the work that is split into parts.
    """

    config: TrainingConfig
    progress: RunProgress = NO_PROGRESS
    files: StageFiles | None = None
    engine: Engine = LOCAL


Rival = LiveModel | Comparison | None
"""A generation to compare with, or the reason why it can't be scored; None if there is none."""

PolicyJudge = Callable[[Split, FirstStage, RankerNet], ArmJudgement]
"""Judges the tested model by slates that explored. The stage is that of the events before the test."""


def train(log: Log, config: TrainingConfig) -> TrainedModel:
    """Train the ranker, evaluate, and train the first stage again on every event."""
    run, parts = TrainingRun(config), split(log, config)
    ranker = train_ranker(parts, run)
    return train_on_everything(log, ranker, evaluate(parts, ranker, run), run)


def own_split(
    dataset: Dataset,
    log: Log,
    config: TrainingConfig,
    protocol: str = "",
    moments: Moments | None = None,
    new_items: float = 0.0,
) -> Split:
    """The log of a dataset, split as the dataset states where no other protocol or moments are given.

    Events that came from logged slates are left out as `cut_in_time` states, if the dataset reads impressions.
    """
    from_slates = None
    if dataset.impressions:
        days = by_day(exports(Environment.read(), FOLDER))
        files = [file for of_day in days.values() for file in of_day]
        from_slates = partial(slate_events, log, dataset.name, files, names(log.catalogue.spec))
    return split(log, config, protocol or dataset.protocol, moments or dataset.moments, new_items, from_slates)


def read_impressions(
    dataset: Dataset, parts: Split, run: TrainingRun, deleted: DeletedUsers | None = None
) -> ShownSlates | None:
    """The slates that users of the dataset were shown, with labels that are no events of the test; None if unwanted.

    deleted: users whose slates before their deletion are left out. DatasetError and LocationError name a file that
    can't be read.
    """
    if not dataset.impressions:
        return None
    with run.progress.step("reading the impressions"):
        start, test = time.monotonic(), float(parts.log.times[parts.test].min())
        features, most = names(parts.log.catalogue.spec), run.config.ranker.queries
        wanted = WantedSlates(dataset.name, grade_of(parts.log), test, most, deleted or {}, features)
        days = by_day(exports(Environment.read(), FOLDER))
        shown = read([file for of_day in reversed(days.values()) for file in reversed(of_day)], wanted, run.engine)
        return ShownSlates(shown, test, time.monotonic() - start)


def train_ranker(parts: Split, run: TrainingRun, slates: ShownSlates | None = None) -> RankerFit:
    """A ranker trained on the label window, with the candidates of towers that end before the window.

    slates: that users were shown, to train on too.
    """
    use_threads(run.config)

    def train() -> RankerFit:
        with run.progress.step("towers before the labels") as step:
            validation = tower_validation(parts, run.config.seed)
            stage = fit_first_stage(parts.before_labels, run.config, step, validation, run.files, engine=run.engine)
        with run.progress.step("ranker on the labels") as step:
            return fit_ranker(parts, stage, run.config, step, slates)

    if run.files is None:
        return train()
    config, device = run.config, find_device(run.config.device).type
    how = asdict(config.tower), asdict(config.ranker), config.seed, device, process_group.world_size()
    name = run.files.name("rank", parts.digest, *how, slates.digest if slates else "")
    return run.files.result(name, train, RankerFit.save, RankerFit.load)


def stage_before_test(parts: Split, ranker: RankerFit, run: TrainingRun) -> FirstStage:
    """The first stage of the models under test: the towers and tables of every event before the test."""
    use_threads(run.config)
    with run.progress.step("towers before the test") as step:
        config = ranker.with_epochs(run.config)
        return fit_first_stage(parts.before_test, config, step, None, run.files, engine=run.engine)


def evaluate(
    parts: Split,
    ranker: RankerFit,
    run: TrainingRun,
    live: Rival = None,
    best: Rival = None,
    policy: PolicyJudge | None = None,
    event_before: bool = False,
) -> Evaluation:
    """The metric table of the baselines, the stages and the served model, all trained on what precedes the test.

    live, best: the live generation and the best one of 30 days, to compare with. policy: judges the tested model too.
    event_before: measure the stages a second time, each query at the time of the user's newest event.
    """
    config, progress, start = run.config, run.progress, time.monotonic()
    stage = stage_before_test(parts, ranker, run)
    with progress.step("baselines") as step:
        fitted, left_out = baselines(parts.before_test, config.threads, config.seed, step)
    with progress.step("evaluation") as step:
        rows = metric_rows(parts, scorers_at(parts, stage, ranker, fitted, event_before), step)
    events = parts.log.catalogue.spec.events
    evaluation = Evaluation(
        protocol=parts.protocol,
        users=len(np.unique(parts.log.users[parts.test])),
        items=int(parts.ranked.sum()),
        queries=len(np.unique(parts.query)),
        seconds=round(time.monotonic() - start, 1),
        rows=rows,
        order=ranker.order,
        targets=events.targets,
        seen=parts.log.exclude_seen.footer(events),
        preview=preview(parts, served_at(parts, stage, ranker.net), config.seed),
        comparison=_compared(parts, stage, ranker, live, progress),
        best=_compared(parts, stage, ranker, best, progress),
        impressions=ranker.impressions,
        policy=_judged(parts, stage, ranker, policy, progress),
    )
    learned = ranker.impressions.lines if ranker.impressions else []
    notes = [*parts.log.assumptions, *parts.warnings, *ranker.warnings, *learned, *left_out]
    return replace(evaluation, warnings=[*notes, *evaluation.shortfalls()])


def _compared(
    parts: Split, stage: FirstStage, ranker: RankerFit, rival: Rival, progress: RunProgress
) -> Comparison | None:
    if not isinstance(rival, LiveModel):
        return rival
    with progress.step(f"evaluation of {rival.id}") as step:
        return compare(parts, stage, ranker.net, rival, step)


def _judged(
    parts: Split, stage: FirstStage, ranker: RankerFit, policy: PolicyJudge | None, progress: RunProgress
) -> ArmJudgement | None:
    if policy is None:
        return None
    with progress.step("explored slates"):
        return policy(parts, stage, ranker.net)


def train_on_everything(log: Log, ranker: RankerFit, evaluation: Evaluation, run: TrainingRun) -> TrainedModel:
    """The model to serve: towers and tables of every event, and the ranker. evaluation: of the same recipe."""
    use_threads(run.config)
    with run.progress.step("towers on everything") as step:
        config = ranker.with_epochs(run.config)
        stage = fit_first_stage(log, config, step, None, run.files, served=True, engine=run.engine)
    return TrainedModel(stage, ranker.net, evaluation)


def published_rows(parts: Split, trained: TrainedModel) -> dict[str, Row]:
    """The rows of the towers alone and of both stages of the model to publish, on the newest test events."""
    same = replace(parts, test=parts.test[newest_events(parts)])
    found = stages(trained.stage, ReplayedModel.of(parts.log, trained.stage, trained.net, parts.log))
    return metric_rows(same, lambda _: {name: found[name] for name in (TOWER, SERVED)})


def use_threads(config: TrainingConfig) -> None:
    """Set torch's number of threads. By default torch uses every core of the machine, also cores that are not ours."""
    torch.set_num_threads(config.threads)
