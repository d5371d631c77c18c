"""Keep the experiments in memory, for unit tests without Redis."""

from __future__ import annotations

from recsys.experiments.document import ExperimentsDocument
from recsys.store import refusals
from recsys.store.experiment_store import ExperimentStore, arms_of
from recsys.store.memory.memory_generations import MemoryGenerations


class MemoryExperiments(ExperimentStore):
    """The experiments, as in `RedisExperimentStore`. generations: those that arms may name. Halts do not expire."""

    def __init__(self, generations: MemoryGenerations) -> None:
        self._generations = generations
        self._text = ""
        self._version = 0
        self._halts: dict[tuple[str, str], str] = {}
        self._looks: bytes | None = None

    def read(self) -> ExperimentsDocument:
        return ExperimentsDocument.model_validate_json(self._text) if self._text else ExperimentsDocument()

    def halts(self, document: ExperimentsDocument) -> dict[tuple[str, str], str]:
        return {arm: self._halts[arm] for arm in arms_of(document) if arm in self._halts}

    def halt(self, experiment: str, arm: str, reason: str) -> None:
        self._halts.setdefault((experiment, arm), reason)

    def looks(self) -> bytes | None:
        return self._looks

    def keep_looks(self, looks: bytes) -> None:
        self._looks = looks

    def close(self) -> None:
        """There is no connection to close."""

    def _write(self, old: ExperimentsDocument, new: ExperimentsDocument) -> bool:
        if old.version != self._version:
            return False
        for generation in sorted(new.generations - old.generations):
            if generation not in self._generations.generations():
                raise refusals.absent(generation)
        self._text, self._version = new.model_dump_json(), new.version
        self._generations.needed_generations = new.generations
        return True
