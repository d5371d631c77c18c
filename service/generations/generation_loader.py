"""The loader of a process: it loads generations (trained models and tables) into the holders, and remembers refusals.

The generation of an experiment's arm is loaded in a thread of its own, so that it does not delay the live one. What a
process keeps is decided when a load ends.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from recsys.errors import StoreUnavailable, TandemError
from service.generations.holder import GenerationHolder, release_memory
from service.telemetry import metrics

logger = logging.getLogger("tandem")

RETRY_SECONDS = 10.0
"""Time until a refused generation is tried again."""

UNUSED_SECONDS = 60.0
"""Time until the generation of an arm is dropped that no alias names and no gateway serves: its queries have ended."""


class GenerationLoader:
    """Loads generations into the holders of one process. refused: why, and until when, by id."""

    def __init__(
        self,
        role: str,
        holders: Sequence[GenerationHolder[Any]],
        kept: Callable[[], Collection[str]],
        announce: Callable[[], None],
    ) -> None:
        """kept: returns the generations that stay loaded. announce: announces what this process holds now."""
        self._role = role
        self._holders = holders
        self._kept = kept
        self._announce = announce
        self._refused: dict[str, tuple[str, float]] = {}
        self._arms = ThreadPoolExecutor(1, "load-arm")
        self._beside: dict[str, Future[bool]] = {}
        self._unused: dict[str, float] = {}
        metrics.refused_total.labels(role).inc(0)  # so that the first refusal is an increase

    @property
    def held(self) -> set[str]:
        """The generations that each holder has."""
        return set.intersection(*(set(holder.held) for holder in self._holders))

    @property
    def refused(self) -> dict[str, str]:
        """Why this process refuses generations, by id."""
        return {generation: why for generation, (why, _) in dict(self._refused).items()}

    def refuse(self, generation: str, why: str) -> None:
        """Do not serve a generation for RETRY_SECONDS."""
        self._refused[generation] = why, time.monotonic() + RETRY_SECONDS
        metrics.refused_total.labels(self._role).inc()
        logger.error("Generation %s was refused: %s", generation, why)

    def forget_old_refusals(self) -> None:
        """Let generations be tried again whose refusal is RETRY_SECONDS old."""
        for generation, (_, until) in list(self._refused.items()):
            if time.monotonic() >= until:
                del self._refused[generation]

    def hold(self, generation: str) -> bool:
        """Load a generation if it is neither held nor refused; whether it is held now."""
        if generation in self._refused or generation in self.held:
            return generation in self.held
        return self._load(generation)

    def hold_beside(self, generation: str) -> None:
        """Begin to load a generation, without a wait, if it is neither held nor refused nor being loaded."""
        loading = self._beside.get(generation)
        if generation in self._refused or generation in self.held or (loading and not loading.done()):
            return
        self._beside[generation] = self._arms.submit(self._load, generation)

    def drop_unused(self) -> None:
        """Drop the generations of `hold_beside` that were not kept for UNUSED_SECONDS."""
        now = time.monotonic()
        unused = self.held.intersection(self._beside).difference(self._kept())
        self._unused = {each: self._unused.get(each, now) for each in unused}
        for generation, since in self._unused.items():
            if now - since > UNUSED_SECONDS:
                for holder in self._holders:
                    holder.drop(generation)
                del self._beside[generation]
                release_memory()

    def _stay(self) -> set[str]:
        """The generations that the end of a load does not drop; `drop_unused` drops those of arms later."""
        return {*self._kept(), *self._beside}

    def _load(self, generation: str) -> bool:
        try:
            for holder in self._holders:
                holder.load(generation, self._stay)
        except StoreUnavailable:
            return False  # the next read reports the outage
        except Exception as error:  # a damaged file can raise anything
            if not isinstance(error, TandemError):
                logger.exception("Generation %s could not be loaded.", generation)
            self.refuse(generation, str(error) or type(error).__name__)
            return False
        finally:
            self._announce()
        release_memory()
        return True
