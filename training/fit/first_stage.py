"""The first stage of a model, which retrieves candidates: the towers, item tables, and the retriever that uses both.

The towers are the networks that turn a user's history and an item into vectors. All parts are trained on the log up to
one moment, so that later events can train the ranker (the second stage) and test both stages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recsys.generation.item_tables import ItemTables
from recsys.model.event_types import SeenRule
from recsys.model.ranker import Ranker, RankerNet
from recsys.model.towers import Towers
from recsys.model.user_encoder import UserEncoder
from recsys.retrieval.retriever import Retriever
from training.config import TrainingConfig
from training.device import find_device
from training.encode.interaction_log import Log
from training.fit.checkpoint import Checkpoints
from training.fit.fit_towers import fit_towers
from training.fit.item_tables import build_tables, recounted
from training.fit.validation import TowerValidation
from training.processes.engine import LOCAL, Engine
from training.progress import StepProgress, no_step


@dataclass(frozen=True)
class FirstStage:
    """A model without its ranker. epochs: of the towers' training."""

    towers: Towers
    tables: ItemTables
    exclude_seen: SeenRule
    encoder: UserEncoder
    retriever: Retriever
    epochs: int = 0

    @classmethod
    def over(cls, towers: Towers, tables: ItemTables, exclude_seen: SeenRule, epochs: int = 0) -> FirstStage:
        """Join towers and the tables that were built with them."""
        encoder = UserEncoder(towers.user, tables.embeddings)
        return cls(towers, tables, exclude_seen, encoder, Retriever(encoder, tables, exclude_seen.everything), epochs)

    def rebuilt(self, log: Log) -> FirstStage:
        """The same towers with all item tables of another log."""
        log = log.without_revoked()
        return FirstStage.over(self.towers, build_tables(log, self.towers), self.exclude_seen, self.epochs)

    def recounted(self, log: Log) -> FirstStage:
        """The same towers and neighbours of items with the popularity and the age of items in another log."""
        tables = recounted(self.tables, log.without_revoked())
        return FirstStage.over(self.towers, tables, self.exclude_seen, self.epochs)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the parts that `over` joins: a worker joins them again."""
        return FirstStage.over, (self.towers, self.tables, self.exclude_seen, self.epochs)

    def ranker(self, net: RankerNet, log: Log) -> Ranker:
        """A ranker over these tables, whose features count the events of `log` before a query.

        The net may be trained with the tables of another moment.
        """
        return Ranker(net, self.tables).counting(log.recent_events)


def fit_first_stage(
    log: Log,
    config: TrainingConfig,
    progress: StepProgress = no_step,
    validation: TowerValidation | None = None,
    checkpoints: Checkpoints | None = None,
    purpose: str = "all epochs",
    engine: Engine = LOCAL,
) -> FirstStage:
    """Train on every event of `log` that is not revoked; a validation chooses the number of epochs.

    purpose: distinguishes the checkpoint from that of another training on the same log. engine: of the item tables.
    """
    log = log.without_revoked()
    key = validation.key if validation else purpose
    device = find_device(config.device)
    checkpoint = checkpoints.of(log, config.tower, config.seed, key, device) if checkpoints else None
    towers, epochs = fit_towers(log, config.tower, config.seed, progress, validation, checkpoint, device)
    tables = build_tables(log, towers, engine)
    return FirstStage.over(towers.cpu(), tables, log.exclude_seen, epochs)
