"""What a process last read of the experiments: their document and the halts of gateways, prepared for requests.

A gateway that may not write a halt keeps the halt for itself, until the experiment changes. A halt that Redis does not
receive, because Redis is away, is written again.
"""

from __future__ import annotations

import logging

from recsys.errors import StoreError, StoreUnavailable
from recsys.experiments.document import ExperimentsDocument
from recsys.experiments.running_experiments import Halts, RunningExperiments
from recsys.store.redis.redis_experiments import RedisExperimentStore

logger = logging.getLogger("tandem")


class ExperimentsFollower:
    """Reads the experiments when they change. One thread refreshes; any thread reads `current`."""

    def __init__(self, store: RedisExperimentStore | None = None) -> None:
        """store: None without experiments, as in tests."""
        self.current = RunningExperiments()
        self._store = store
        self._halts: Halts = {}
        self._own: Halts = {}
        self._unwritten: set[tuple[str, str]] = set()
        self._logged = ""

    def refresh(self) -> None:
        """Read what changed. If the store can't be read, the last state stays."""
        try:
            if self._store is not None:
                self._read(self._store)
            self._logged = ""
        except StoreUnavailable:
            pass  # the outage has a line of its own
        except StoreError as error:
            if str(error) != self._logged:
                logger.warning("Experiments can't be read, so changes of them have no effect here: %s", error)
            self._logged = str(error)

    def halt(self, experiment: str, arm: str, reason: str) -> None:
        """Stop an arm in every gateway, or in this process alone if the store refuses."""
        logger.error("Arm %s of experiment %s is halted: %s", arm, experiment, reason)
        self._own = {**self._own, (experiment, arm): reason}
        if self._store is not None:
            self._write(self._store, experiment, arm, reason)
        self._halts = {**self._halts, **self._own}
        self.current = RunningExperiments(self.current.document, self._halts)

    def _read(self, store: RedisExperimentStore) -> None:
        before, document = self.current.document, store.read()
        if document == before:
            document = before
        else:
            self._own = {arm: why for arm, why in self._own.items() if _is_the_same(arm[0], before, document)}
        for arm in self._unwritten.intersection(self._own):
            self._write(store, *arm, self._own[arm])
        halts = {**self._own, **store.halts(document)}
        if document is not self.current.document or halts != self._halts:
            self._halts = halts
            self.current = RunningExperiments(document, halts)

    def _write(self, store: RedisExperimentStore, experiment: str, arm: str, reason: str) -> None:
        """Write a halt; a later refresh writes the halt again if the store is away."""
        self._unwritten.discard((experiment, arm))
        try:
            store.halt(experiment, arm, reason)
        except StoreUnavailable:
            self._unwritten.add((experiment, arm))  # the outage has a line of its own
        except StoreError as error:
            logger.warning("The halt can't be written, so this process alone serves the control: %s", error)


def _is_the_same(name: str, before: ExperimentsDocument | None, after: ExperimentsDocument) -> bool:
    """Whether an experiment has not changed between two documents."""
    known = None if before is None else before.experiments.get(name)
    return known is not None and known == after.experiments.get(name)
