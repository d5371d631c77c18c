"""The follower of a server process: a thread that loads the generations (trained models and tables) to serve.

Aliases in Redis, such as `live`, and the arms of running experiments name them. The follower announces the loaded
generations to the other processes; `switcher` decides which one a gateway answers from.
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
        poll_seconds: float = 2.0,
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
        self._stopped = threading.Event()
        self._loader = GenerationLoader(role, holders, self.announce)
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

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

        For `live` these are also the one that was live before, and those on this host. Another alias has no fallback.
        """
        ids = [self.state.named.get(alias)]
        if alias == LIVE:
            ids += [self.state.named.get(PREVIOUS), *self._fallback()]
        return list(dict.fromkeys(each for each in ids if each))

    def start(self) -> None:
        """Refresh once, and then repeatedly in a thread."""
        freeze_imports()
        self._refresh_after(0)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and withdraw the announcement."""
        with self._announcing:
            self._stopped.set()
            with suppress(StoreError):
                self._registry.withdraw(self._name)
        self._registry.close()

    def refuse(self, generation: str, why: str) -> None:
        """Do not serve a generation for some seconds."""
        self._loader.refuse(generation, why)

    def is_refused(self, generation: str) -> bool:
        """Whether this process refuses a generation now."""
        return generation in self._loader.refused

    def refresh(self) -> None:
        """Read aliases and announcements, load what is missing, and announce what is held."""
        self._loader.forget_old_refusals()
        self.state = state = self._read()
        kept = {*state.served, *self.in_force.values(), *state.named.values()}
        for generation in state.served.difference(state.arms):
            self._loader.hold(generation, kept)
        for generation in self.candidates(LIVE):
            if self._loader.hold(generation, kept) and generation not in self.refusals:
                break
        for generation in state.arms:
            self._loader.hold_beside(generation, kept)
        if not state.fault:
            self._loader.drop_unused(kept)
        self.announce()
        if self._role != "gateway":  # the switcher logs the readiness of a gateway
            self._readiness.note(self.unready)

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
                pass  # the next refresh reports it
            except StoreError as error:
                if not self._read_only:
                    logger.warning(
                        "The generations of this process can't be announced, so gateways do not wait for it: %s", error
                    )
                self._read_only = True

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._refresh_after(BUSY_SECONDS if self._is_busy() else self._poll_seconds)

    def _refresh_after(self, seconds: float) -> None:
        """Refresh after so many seconds, or as soon as an alias moves."""
        try:
            self._registry.wait(seconds)
            if not self._stopped.is_set():
                self.refresh()
        except Exception:
            logger.exception("Following generations failed; trying again.")
            self._stopped.wait(BUSY_SECONDS)

    def _is_busy(self) -> bool:
        """Whether a generation is about to change."""
        state = self.state
        named = {generation for alias, generation in state.named.items() if alias != PREVIOUS}
        changing = state.served - named or any(state.lacking(generation) for generation in named)
        return bool(state.fault or not state.live or changing)

    def _read(self) -> AliasState:
        names, named = (LIVE, PREVIOUS), dict[str, str]()
        try:
            found = zip(names, self._generations.aliases(names), strict=True)
            named = {name: generation for name, generation in found if generation}
            others = tuple(each for each in self._registry.processes() if each.name != self._name)
        except StoreError as error:  # an unreadable registry is not an empty one: a gateway would not wait
            self._redis.failed(str(error))
            return AliasState(True, named | self._arms(), str(error))
        self._redis.worked()
        self.experiments.refresh()
        return AliasState(True, named | self._arms(), None, others)

    def _arms(self) -> dict[str, str]:
        """The generations of running experiments by alias, as they were last read."""
        return {arm_alias(generation): generation for generation in self.experiments.current.generations(time.time())}
