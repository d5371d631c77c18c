"""Everything of a model but its ranker: towers, tables and the retriever over them, as of one moment of the log."""

from __future__ import annotations

from dataclasses import dataclass

from recsys.generation.item_tables import ItemTables
from recsys.model.event_types import SeenRule
from recsys.model.ranker import Ranker, RankerNet
from recsys.model.towers import Towers
from recsys.model.user_encoder import UserEncoder
from recsys.retrieval.retriever import Retriever
from training.config import TrainingConfig
from training.data.interaction_log import Log
from training.device import find_device
from training.progress import Progress, no_progress
from training.tables.item_tables import build_tables
from training.towers.checkpoint import Checkpoints
from training.towers.epoch_judge import TowerJudge
from training.towers.fit_towers import fit_towers


@dataclass(frozen=True)
class FirstStage:
    """What a log taught, up to its end."""

    towers: Towers
    tables: ItemTables
    exclude_seen: SeenRule
    encoder: UserEncoder
    retriever: Retriever

    @classmethod
    def over(cls, towers: Towers, tables: ItemTables, exclude_seen: SeenRule) -> FirstStage:
        """Join towers and the tables that were built with them."""
        encoder = UserEncoder(towers.user, tables.embeddings)
        return cls(towers, tables, exclude_seen, encoder, Retriever(encoder, tables, exclude_seen.everything))

    def ranker(self, net: RankerNet) -> Ranker:
        """A net's ranker over these tables; the net may have learned on those of another moment."""
        return Ranker(net, self.tables)


@dataclass(frozen=True)
class FittedStage:
    """A first stage, and the epochs its towers trained."""

    stage: FirstStage
    epochs: int


def fit_first_stage(
    log: Log,
    config: TrainingConfig,
    progress: Progress = no_progress,
    judge: TowerJudge | None = None,
    checkpoints: Checkpoints | None = None,
) -> FittedStage:
    """Train on every event of `log` that stands; a judge chooses the epochs."""
    log = log.standing()
    purpose = judge.key if judge else "all epochs"
    checkpoint = checkpoints.of(log, config.tower, config.seed, purpose) if checkpoints else None
    device = find_device(config.device)
    fitted = fit_towers(log, config.tower, config.seed, progress, judge, checkpoint, device)
    tables = build_tables(log, fitted.towers)
    stage = FirstStage.over(fitted.towers.cpu(), tables, log.exclude_seen)
    return FittedStage(stage, fitted.epochs)
