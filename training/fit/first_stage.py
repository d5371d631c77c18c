"""The first stage of a model, which retrieves candidates: the towers, item tables, and the retriever that uses both.

The towers are the networks that turn a user's history and an item into vectors. All parts are trained on the log up to
one moment, so that later events can train the ranker (the second stage) and test both stages.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from recsys.generation.item_tables import ItemTables
from recsys.generation.manifest import TOWERS
from recsys.model.event_types import SeenRule
from recsys.model.ranker import Ranker, RankerNet
from recsys.model.towers import Towers
from recsys.model.user_encoder import UserEncoder
from recsys.retrieval.retriever import Retriever
from training.config import TrainingConfig
from training.device import find_device
from training.encode.interaction_log import Log
from training.fit.fit_towers import fit_towers
from training.fit.item_tables import build_tables, recounted
from training.fit.validation import TowerValidation
from training.processes import process_group
from training.processes.engine import LOCAL, Engine
from training.progress import StepProgress, no_step
from training.stage_files import StageFiles, State

EPOCHS = "epochs.txt"
"""The file with the number of epochs of the towers' training."""


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

    def save(self, folder: Path) -> None:
        """Write the stage's files into a folder."""
        self.towers.save(folder / TOWERS)
        self.tables.save(folder)
        (folder / EPOCHS).write_text(str(self.epochs))

    @classmethod
    def load(cls, folder: Path, exclude_seen: SeenRule) -> FirstStage:
        """Read what `save` wrote; the tables are mapped into memory."""
        epochs = int((folder / EPOCHS).read_text())
        return cls.over(Towers.load(folder / TOWERS).eval(), ItemTables.load(folder), exclude_seen, epochs)

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
    files: StageFiles | None = None,
    served: bool = False,
    engine: Engine = LOCAL,
) -> FirstStage:
    """Train on every event of `log` that is not revoked; a validation chooses the number of epochs.

    files: where a killed training goes on. served: whether the stage is of a model to publish. engine: of the item
    tables.
    """
    log, device = log.without_revoked(), find_device(config.device)

    def fit(state: State | None = None) -> FirstStage:
        towers, epochs = fit_towers(log, config.tower, config.seed, progress, validation, state, device)
        return FirstStage.over(towers.cpu(), build_tables(log, towers, engine), log.exclude_seen, epochs)

    if files is None:
        return fit()
    how = asdict(config.tower), config.seed, device.type, process_group.world_size()
    name = files.name("fit", log.digest, *how, validation.key if validation else "", served=served)
    read = partial(FirstStage.load, exclude_seen=log.exclude_seen)
    return files.result(name, lambda: fit(files.state(name)), FirstStage.save, read)
