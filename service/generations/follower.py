"""The follower of a server process: it loads the generations (trained models and tables) to serve.

Aliases in Redis, such as `live`, and the arms of running experiments name them. One thread reads these and announces
the loaded generations to the other processes. Another thread loads, so that a long load delays no read: the end of an
experiment has effect at once. `switcher` decides which generation a gateway answers from.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from recsys.errors import NOTHING_LIVE, StoreError, StoreUnavailable
from recsys.process.process_identity import ProcessIdentity
from recsys.store.process_registry import ANNOUNCED_SECONDS, Announcement
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.redis.redis_registry import RedisProcessRegistry
from recsys.store.stored_types import LIVE, PREVIOUS
from service.generations import readiness
from service.generations.alias_state import AliasState, arm_alias
from service.generations.experiments_follower import ExperimentsFollower
from service.generations.generation_loader import GenerationLoader
from service.generations.holder import GenerationHolder, freeze_imports
from service.generations.readiness import ReadinessLog
from service.telemetry.outage import Outage
from service.telemetry.periodic import repeat_in_thread

logger = logging.getLogger("tandem")

BUSY_SECONDS = 0.25
"""Time between two reads while a generation changes, or while the store is away."""


class GenerationFollower:
    """Holds the generations of the serving aliases in one process."""

    def __init__(
        self,
        role: str,
        generations: RedisGenerationStore,
        registry: RedisProcessRegistry,
        holders: Sequence[GenerationHolder[Any]],
        fallback: Callable[[], Sequence[str]] = tuple,
        poll_seconds: float = 1.5,
        redis: Outage | None = None,
        experiments: ExperimentsFollower | None = None,
    ) -> None:
        """holders: a generation is held when each holder has it. fallback: the ids on this host, best first."""
        self.experiments = experiments or ExperimentsFollower()
        self.state = AliasState()
        self.in_force: Mapping[str, str] = {}
        """The generation that this process answers from, by alias; the switcher sets it."""
        self._name = f"{role} {socket.gethostname()} {os.getpid()}"
        self._life = ProcessIdentity.current()
        self._role = role
        self._generations = generations
        self._registry = registry
        self._fallback = fallback
        self._poll_seconds = poll_seconds
        self._redis = redis or Outage("Redis", "Generations that are promoted now are not known.")
        self._readiness = ReadinessLog()
        self._announced: tuple[Announcement | None, float] = None, 0.0
        self._read_only = False
        self._announcing = threading.Lock()
        self._stopped, self._was_read, self._was_loaded = threading.Event(), threading.Event(), threading.Event()
        self._aliases: Mapping[str, str] = {}
        self._answering: set[str] = set()
        self._loader = GenerationLoader(role, holders, self._kept, self.announce)

    @property
    def held(self) -> set[str]:
        """The generations that each holder has."""
        return self._loader.held

    @property
    def holding(self) -> Announcement:
        """The announcement of this process."""
        held, serving = tuple(sorted(self.held)), tuple(sorted(set(self.in_force.values())))
        return Announcement(self._name, self._role, held, serving, self._loader.refused, self._life)

    @property
    def refusals(self) -> dict[str, str]:
        """Why this process or another one refuses generations, by id."""
        announced = (self.holding, *self.state.processes)
        return {each: f"{process.role}: {why}" for process in announced for each, why in process.refused.items()}

    @property
    def unready(self) -> str | None:
        """Why this process holds no generation, in a sentence of `readiness`; None if it holds one."""
        return None if self.held else self.reason

    @property
    def reason(self) -> str:
        """Why `live` is not served yet, in a sentence of `readiness`."""
        if not self.state.was_read:
            return readiness.STARTING
        if self.state.fault:
            return readiness.NO_REDIS
        if self.state.live in self.refusals:
            return readiness.REFUSED
        loading = any(not self.is_refused(each) for each in self.candidates(LIVE))  # live, or one of this host
        return readiness.LOADING if loading else NOTHING_LIVE

    def candidates(self, alias: str) -> list[str]:
        """The generations that an alias may be served from, best first.

        For `live` these are also the one that was live before, those in force, and those on this host. Another alias
        has no fallback.
        """
        ids = [self.state.named.get(alias)]
        if alias == LIVE:
            ids += [self.state.named.get(PREVIOUS), self.in_force.get(LIVE), *sorted(self._answering)]
            ids += self._fallback()
        return list(dict.fromkeys(each for each in ids if each))

    def start(self) -> None:
        """Start both threads, and return after the first load."""
        freeze_imports()
        repeat_in_thread("generations", self._read_when_due, stopped=self._stopped)
        repeat_in_thread("loader", self._load_when_read, stopped=self._stopped)
        self._was_loaded.wait()

    def stop(self) -> None:
        """End the threads, and withdraw the announcement."""
        with self._announcing:
            self._stopped.set()
            self._was_read.set()  # which ends the wait of the thread that loads
            self._was_loaded.set()  # and that of `start`; a load in progress ends with the process
            with suppress(StoreError):
                self._registry.withdraw(self._name)
        self._registry.close()

    def refuse(self, generation: str, why: str) -> None:
        """Do not serve a generation for some seconds."""
        self._loader.refuse(generation, why)

    def is_refused(self, generation: str) -> bool:
        """Whether this process refuses a generation now."""
        return generation in self._loader.refused

    def read(self) -> None:
        """Read aliases, experiments and announcements, and announce what is held."""
        self._loader.forget_old_refusals()
        self.state = self._read()
        self.announce()
        if self._role != "gateway":  # the switcher logs the readiness of a gateway
            self._readiness.note(self.unready)

    def load(self) -> None:
        """Load what is missing by the last read, and drop what no arm needs any more."""
        for generation in self.state.served.difference(self.state.arms):
            self._loader.hold(generation)
        for generation in self.candidates(LIVE):
            if self._loader.hold(generation) and generation not in self.refusals:
                if not (self.state.fault or self.state.served):
                    self._answering = {generation}
                break
        for generation in self.state.arms:
            self._loader.hold_beside(generation)
        if not self.state.fault:
            self._loader.drop_unused()

    def announce(self) -> None:
        """Announce the held generations in the store if they changed, or if the announcement is old.

        Each write can delay the store's replies by a sync of its disk. A Redis user that may only read can't announce.
        """
        with self._announcing:
            holding, now = self.holding, time.monotonic()
            before, at = self._announced
            if self._stopped.is_set() or (holding == before and now - at < ANNOUNCED_SECONDS / 4):
                return
            try:
                self._registry.announce(holding)
                self._announced = holding, now
            except StoreUnavailable:
                pass  # the next read reports the outage
            except StoreError as error:
                if not self._read_only:
                    logger.warning(
                        "The generations of this process can't be announced, so gateways do not wait for it: %s", error
                    )
                self._read_only = True

    def _read_when_due(self) -> None:
        """Read when an alias moves, or some seconds after the last read."""
        try:
            pause = BUSY_SECONDS if self._is_busy() else self._poll_seconds
            self._registry.wait(pause if self.state.was_read else 0)
            if not self._stopped.is_set():
                self.read()
        finally:
            self._was_read.set()

    def _load_when_read(self) -> None:
        self._was_read.wait()
        self._was_read.clear()
        try:
            if not self._stopped.is_set():
                self.load()
        finally:
            self._was_loaded.set()

    def _is_busy(self) -> bool:
        """Whether a generation is about to change."""
        state = self.state
        named = {generation for alias, generation in state.named.items() if alias != PREVIOUS}
        changing = state.served - named or any(state.lacking(generation) for generation in named)
        return bool(state.fault or not state.live or changing)

    def _read(self) -> AliasState:
        names = (LIVE, PREVIOUS)
        try:
            found = zip(names, self._generations.aliases(names), strict=True)
            self._aliases = {name: generation for name, generation in found if generation}
            others = tuple(each for each in self._registry.processes() if each.name != self._name)
        except StoreError as error:  # an unreadable registry is not an empty one: a gateway would not wait
            self._redis.failed(str(error))
            return AliasState(True, {**self._aliases, **self._arms()}, str(error))
        self._redis.worked()
        self.experiments.refresh()
        state = AliasState(True, {**self._aliases, **self._arms()}, None, others)
        self._answering = state.served.difference(state.arms) or self._answering
        return state

    def _kept(self) -> set[str]:
        """The generations that stay loaded: those that an alias or an arm names, and those that queries may be of.

        `_answering` are those that other gateways announced last, else the one that this process held last for `live`:
        the registry of a store that restarted is empty although gateways answer.
        """
        return {*self._answering, *self.state.served, *self.in_force.values(), *self.state.named.values()}

    def _arms(self) -> dict[str, str]:
        """The generations of running experiments by alias, as they were last read."""
        return {arm_alias(generation): generation for generation in self.experiments.current.generations(time.time())}
