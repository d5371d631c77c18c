"""Swaps of the generation that is live, and whether a deployment follows."""

from __future__ import annotations

import time

import httpx

from recsys.errors import TandemError
from recsys.generation import GenerationFolder
from recsys.store.redis import RedisGenerationStore


class Swaps:
    """Moves `live` to the other generation and back, and looks whether the deployment follows."""

    def __init__(self, store: RedisGenerationStore, pair: list[GenerationFolder], url: str, due: list[float]) -> None:
        self._store, self._ids, self._url, self._due = store, [each.manifest.id for each in pair], url, due
        self._wanted: str | None = None
        self.done: list[float] = []
        self.missed = 0

    def rehearse(self, seconds: float) -> None:
        """There and back, each followed within so many seconds: what a first time costs is no growth."""
        for move in (lambda: self._store.promote(self._ids[1]), self._store.rollback):
            move()
            wanted, end = self._store.alias("live") or "", time.monotonic() + seconds
            while not self._serves(wanted):
                if time.monotonic() > end:
                    raise TandemError(f"The deployment did not follow to {wanted} within {seconds:g} s.")
                time.sleep(0.2)

    def look(self, at: float) -> None:
        """What is due at a moment is done."""
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
        """Whatever was not followed by now never was."""
        if self._wanted:
            self.missed += not self._serves(self._wanted)
            self._wanted = None

    def _serves(self, wanted: str) -> bool:
        try:
            return bool(httpx.get(f"{self._url}/status", timeout=5).json()["generation"] == wanted)
        except (httpx.HTTPError, ValueError, KeyError):
            return False
