"""Fake generations (sets of trained models), each only a word, for tests of how processes follow and switch them.

There is a fake of each collaborator: the store, which names the live generation, the registry, where processes announce
what they loaded, the experiments, and the cache of downloaded files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from recsys.errors import GenerationError, StoreUnavailable
from recsys.experiments.definition import Arm, Definition
from recsys.experiments.document import Experiment, ExperimentsDocument
from recsys.store.process_registry import Announcement
from recsys.store.stored_types import LIVE, PREVIOUS
from service.generations.experiments_follower import ExperimentsFollower
from service.generations.follower import GenerationFollower
from service.generations.holder import GenerationHolder


class Aliases:
    """Fake store: only the generations that the aliases name."""

    def __init__(self, live: str | None = None, previous: str | None = None) -> None:
        self.named = {LIVE: live, PREVIOUS: previous}
        self.away = False

    def aliases(self, names: Sequence[str]) -> tuple[str | None, ...]:
        """The generations that aliases name."""
        if self.away:
            raise StoreUnavailable("No Redis answers.")
        return tuple(self.named.get(name) for name in names)


class Experiments:
    """Fake store of experiments. halted: the halts that were written."""

    def __init__(self) -> None:
        self.document = ExperimentsDocument()
        self.halted: dict[tuple[str, str], str] = {}

    def answer_from(self, *generations: str) -> None:
        """Run an experiment for each generation, whose arm `new` answers from it."""
        running = {
            f"test-{generation}": Experiment(
                definition=Definition(name=f"test-{generation}", arms={"new": Arm(share=0.5, generation=generation)}),
                status="running",
                ramp=1.0,
            )
            for generation in generations
        }
        self.document = ExperimentsDocument(version=self.document.version + 1, experiments=running)

    def version(self) -> int:
        """The version of the document."""
        return self.document.version

    def read(self) -> ExperimentsDocument:
        """The document."""
        return self.document

    def halts(self, _: ExperimentsDocument) -> dict[tuple[str, str], str]:
        """The halts."""
        return dict(self.halted)

    def halt(self, experiment: str, arm: str, reason: str) -> None:
        """Write a halt."""
        self.halted[experiment, arm] = reason


class Cache:
    """Fake cache: returns an id in place of a folder, and raises an error for the ids in `bad`."""

    def __init__(self, *bad: str) -> None:
        self.bad = set(bad)
        self.fetched: list[str] = []

    def fetch(self, generation: str, in_use: Collection[str] = ()) -> str:
        """Its id, in place of a folder."""
        self.fetched.append(generation)
        if generation in self.bad:
            raise GenerationError(f"Part x of {generation} is not what its manifest says.")
        return generation


class Registry:
    """Fake registry of processes, in which no alias moves: a wait takes all its seconds."""

    def __init__(self) -> None:
        self._announced: dict[str, Announcement] = {}

    def announce(self, announcement: Announcement) -> None:
        """Publish the state of a process."""
        self._announced[announcement.name] = announcement

    def withdraw(self, name: str) -> None:
        """Delete the announcement of a process."""
        self._announced.pop(name, None)

    def processes(self) -> list[Announcement]:
        """The announcements by name."""
        return [self._announced[name] for name in sorted(self._announced)]

    def wait(self, seconds: float) -> None:
        """Return after so many seconds."""
        time.sleep(seconds)

    def close(self) -> None:
        """There is no connection to close."""


def made() -> tuple[Aliases, Registry, Cache, Callable[..., GenerationFollower]]:
    """A store, a registry, a cache, and a maker of followers over them."""
    store, registry, cache = Aliases("a"), Registry(), Cache()

    def follower(
        role: str = "ranking", load: Callable[[Any], Any] = str, arms: Experiments | None = None, **more: Any
    ) -> GenerationFollower:
        holder, experiments = GenerationHolder(cache, load), ExperimentsFollower(arms)  # type: ignore[arg-type]
        return GenerationFollower(role, store, registry, [holder], experiments=experiments, **more)  # type: ignore[arg-type]

    return store, registry, cache, follower


def refresh(follower: GenerationFollower) -> None:
    """Read the store once, and load what is missing."""
    follower.read()
    follower.load()


def refresh_until(follower: GenerationFollower, reached: Callable[[], bool]) -> None:
    """Refresh until a state is reached: generations of arms are loaded in a thread of their own."""
    end = time.monotonic() + 10
    while not reached():
        assert time.monotonic() < end, follower.holding
        refresh(follower)
        time.sleep(0.01)
