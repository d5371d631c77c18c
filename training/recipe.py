"""The life of a model, on one page.

    events before T1        → towers, tables  ┐
    labels T1..T2           → the ranker      ┘ and the towers' epochs; later than all that its towers and tables saw
    events before T2        → towers, tables  ┐
    test T2..end            → the metrics     ┘ with that ranker
    every event             → towers, tables    what is served, with that ranker

The same three steps stand behind `python -m flows run` and `python -m training evaluate`. Knows no store.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from recsys.model.ranker import RankerNet
from training.config import TrainingConfig
from training.data.interaction_log import Log
from training.data.mapping import Moments
from training.device import find_device
from training.evaluation.inspection import look
from training.evaluation.live_comparison import Comparison
from training.evaluation.live_model import LiveModel, compare
from training.evaluation.metric_table import Evaluation
from training.evaluation.ranking import evaluate as measure
from training.evaluation.scorers import baselines, stages
from training.evaluation.split import Split, split
from training.first_stage import FirstStage, fit_first_stage
from training.progress import Watch, unwatched
from training.ranker.fit_ranker import fit_ranker
from training.towers.checkpoint import Checkpoints
from training.towers.epoch_judge import tower_judge


@dataclass(frozen=True)
class Taught:
    """A ranker and what there is to say about how it came to be.

    epochs: of the towers, as the labels judged them. order: the simple order that the ranker is, if none was taught.
    """

    net: RankerNet
    epochs: int
    warnings: tuple[str, ...] = ()
    order: str | None = None

    def tuned(self, config: TrainingConfig) -> TrainingConfig:
        """`config` with what the labels decided: for towers that have no labels left to be judged by."""
        return replace(config, tower=replace(config.tower, epochs=self.epochs))


@dataclass(frozen=True)
class Trained:
    """A model over the whole log, and what it scored when it did not know the newest part."""

    stage: FirstStage
    net: RankerNet
    evaluation: Evaluation


def train(
    log: Log,
    config: TrainingConfig,
    watch: Watch = unwatched,
    protocol: str = "rolling",
    moments: Moments | None = None,
) -> Trained:
    """Teach the ranker, measure, and train again on everything."""
    parts = split(log, config, protocol, moments)
    taught = teach_ranker(parts, config, watch)
    evaluation = evaluate(parts, taught, config, watch)
    return finish(log, taught, evaluation, config, watch)


def teach_ranker(
    parts: Split, config: TrainingConfig, watch: Watch = unwatched, checkpoints: Checkpoints | None = None
) -> Taught:
    """A ranker taught by the label window, on candidates of towers that ended before it and that it judged."""
    use_threads(config)
    with watch("towers before the labels") as progress:
        judge = tower_judge(parts, config.seed)
        first = fit_first_stage(parts.before_labels, config, progress, judge, checkpoints)
    with watch("ranker on the labels") as progress:
        device = find_device(config.device)
        fitted = fit_ranker(parts, first.stage, config.ranker, config.seed, progress, device)
    if fitted.order is None:
        return Taught(fitted.net, first.epochs)
    told = (
        f"Of the {len(parts.label_queries()):,} queries of the label window {fitted.examples:,} have an answer among "
        f"their candidates; they do not teach a ranker that beats a simple order: candidates are ordered by "
        f"{fitted.order}, and the ranker is untrained. {config.ranker.doubtful:,} of them are enough, most often."
    )
    return Taught(fitted.net, first.epochs, (told,), fitted.order)


def evaluate(
    parts: Split,
    taught: Taught,
    config: TrainingConfig,
    watch: Watch = unwatched,
    checkpoints: Checkpoints | None = None,
    live: LiveModel | Comparison | None = None,
) -> Evaluation:
    """The metric table: baselines, the stages and what we serve, all knowing only what came before the test.

    live: the live generation, or the Comparison that says why it can't be scored.
    """
    use_threads(config)
    start = time.monotonic()
    with watch("towers before the test") as progress:
        stage = fit_first_stage(parts.before_test, taught.tuned(config), progress, None, checkpoints).stage
    ranker = stage.ranker(taught.net)
    with watch("baselines") as progress:
        beaten, left_out = baselines(parts.before_test, config.threads, config.seed, progress)
    with watch("evaluation") as progress:
        rows = measure(parts, {**beaten, **stages(stage, ranker)}, progress)
    if isinstance(live, LiveModel):
        with watch("evaluation of the live generation") as progress:
            live = compare(parts, stage, taught.net, live, progress)
    events = parts.log.catalogue.spec.events
    evaluation = Evaluation(
        protocol=parts.protocol,
        users=len(np.unique(parts.log.users[parts.test])),
        items=int(parts.ranked.sum()),
        queries=len(np.unique(parts.query)),
        seconds=round(time.monotonic() - start, 1),
        rows=rows,
        order=taught.order,
        targets=events.targets,
        seen=parts.log.exclude_seen.footer(events),
        glimpse=look(parts, stage, ranker, config.seed),
        comparison=live,
    )
    return replace(evaluation, warnings=[*parts.log.assumptions, *taught.warnings, *left_out, *evaluation.shortfalls()])


def finish(
    log: Log,
    taught: Taught,
    evaluation: Evaluation,
    config: TrainingConfig,
    watch: Watch = unwatched,
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Towers and tables over every event, which go out with the ranker."""
    use_threads(config)
    with watch("towers on everything") as progress:
        stage = fit_first_stage(log, taught.tuned(config), progress, None, checkpoints).stage
    return Trained(stage, taught.net, evaluation)


def use_threads(config: TrainingConfig) -> None:
    """Give torch its threads, said aloud: by default it takes every core of the machine, allowed or not."""
    torch.set_num_threads(config.threads)
