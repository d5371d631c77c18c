"""Everything of a model but its ranker: towers, tables and the retriever over them, as of one moment of the log."""

from __future__ import annotations

from dataclasses import dataclass, replace

from recsys.clusters import Clusters
from recsys.events import SeenRule
from recsys.ranker import Ranker, RankerNet
from recsys.retriever import Retriever
from recsys.tables import ItemTables
from recsys.towers import Towers, UserEncoder
from training.checkpoint import Checkpoints
from training.config import TrainingConfig
from training.device import find_device
from training.fit import fit_towers
from training.judge import TowerJudge
from training.log import Log
from training.tables import build_tables
from training.watch import Progress, no_progress


@dataclass(frozen=True)
class FirstStage:
    """What a log taught, up to its end."""

    towers: Towers
    tables: ItemTables
    exclude_seen: SeenRule
    encoder: UserEncoder
    retriever: Retriever
    clusters: Clusters | None = None

    @classmethod
    def over(cls, towers: Towers, tables: ItemTables, exclude_seen: SeenRule) -> FirstStage:
        """Join towers and the tables that were built with them."""
        encoder = UserEncoder(towers.user, tables.embeddings)
        return cls(towers, tables, exclude_seen, encoder, Retriever(encoder, tables, exclude_seen.everything))

    def over_clusters(self, clusters: Clusters | None) -> FirstStage:
        """The same with a retriever that looks through clusters; itself where there are none."""
        if clusters is None:
            return self
        retriever = Retriever(self.encoder, self.tables, self.exclude_seen.everything, clusters=clusters)
        return replace(self, retriever=retriever, clusters=clusters)

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
