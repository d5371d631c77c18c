"""Swaps the live generation (set of trained models) during a soak test, and checks that the service follows."""

from __future__ import annotations

import time

import httpx

from recsys.errors import TandemError
from recsys.generation.manifest import GenerationFolder
from recsys.store.redis.generation_store import RedisGenerationStore


class Swaps:
    """Moves `live` to the other generation and back, and checks that the deployment serves it.

    done: times of the swaps. missed: swaps that the deployment had not followed when the next one was due.
    """

    def __init__(self, store: RedisGenerationStore, pair: list[GenerationFolder], url: str, due: list[float]) -> None:
        self._store, self._ids, self._url, self._due = store, [each.manifest.id for each in pair], url, due
        self._wanted: str | None = None
        self.done: list[float] = []
        self.missed = 0

    def swap_once(self, seconds: float) -> None:
        """Swap there and back once; TandemError if the deployment does not follow within so many seconds."""
        for move in (lambda: self._store.promote(self._ids[1]), self._store.rollback):
            move()
            wanted, end = self._store.alias("live") or "", time.monotonic() + seconds
            while not self._serves(wanted):
                if time.monotonic() > end:
                    raise TandemError(f"The deployment did not follow to {wanted} within {seconds:g} s.")
                time.sleep(0.2)

    def look(self, at: float) -> None:
        """Do the swap that is due."""
        if self._wanted and self._serves(self._wanted):
            self._wanted = None
        if len(self.done) < len(self._due) and at >= self._due[len(self.done)]:
            self.end()
            if len(self.done) % 2:
                self._store.rollback()
            else:
                self._store.promote(self._ids[1])
            self.done.append(at)
            self._wanted = self._store.alias("live")

    def end(self) -> None:
        """Count the last swap as missed if the deployment has not followed it."""
        if self._wanted:
            self.missed += not self._serves(self._wanted)
            self._wanted = None

    def _serves(self, wanted: str) -> bool:
        try:
            return bool(httpx.get(f"{self._url}/status", timeout=5).json()["generation"] == wanted)
        except (httpx.HTTPError, ValueError, KeyError):
            return False
