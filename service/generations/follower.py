"""What every process that serves does with generations: follow the aliases, load what goes live, and say what it holds.

A thread of each process. It loads the generation that goes live beside those it holds, refuses what can't be served,
and keeps what any gateway still answers from. Which generation answers is the gateway's to decide (`succession`).
"""

from __future__ import annotations

import ctypes
import gc
import logging
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from recsys.errors import StoreError, StoreUnavailable, TandemError
from recsys.store.base import GenerationStore
from recsys.store.board import ANNOUNCED_SECONDS, Board, Holding
from recsys.store.life import Life
from service.generations import readiness
from service.generations.holder import GenerationHolder
from service.generations.readiness import ReadinessLog
from service.telemetry import metrics
from service.telemetry.outage import Outage

logger = logging.getLogger("tandem")

PATIENCE = 10.0
"""Seconds between two tries of a generation that was refused."""

SOON = 0.25
"""Seconds between two looks while something is under way: a generation loads somewhere, or the store is away."""

TRIM_SECONDS = 30.0
"""Between two times that free memory goes back to the system: taking it up again costs some 10 ms."""

YOUNG = 7_000
"""Objects made and not gone after which the collector looks at them; with Python's 700 the looks took some twentieth
of the gateway's time (docs/decisions.md)."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a process knew when it last looked.

    live, previous: what the aliases name; None where they name nothing or can't be read. fault: why not. processes:
    what the others announced. looked: False before the first look.
    """

    looked: bool = False
    live: str | None = None
    previous: str | None = None
    fault: str | None = None
    processes: tuple[Holding, ...] = ()

    @property
    def in_force(self) -> set[str]:
        """Ids that other gateways answer from."""
        return {told.in_force for told in self.processes if told.in_force}

    @property
    def refused(self) -> set[str]:
        """Ids that another process refuses: they can go nowhere, whoever else could serve them."""
        return {generation for told in self.processes for generation in told.refused}

    def lacking(self, generation: str) -> list[Holding]:
        """Processes that announced themselves and do not hold a generation."""
        return [told for told in self.processes if generation not in told.held]


class Adopter:
    """Holds what is live, in one process; `outlook` is what it knows.

    spare: tells what lies on this host, to serve where no alias helps, best first.
    """

    def __init__(
        self,
        role: str,
        generations: GenerationStore,
        board: Board,
        holders: Sequence[GenerationHolder[Any]],
        spare: Callable[[], Sequence[str]] = tuple,
        poll_seconds: float = 2.0,
        redis: Outage | None = None,
    ) -> None:
        """holders: all have to load a generation before it is held. redis: this process's report of the store."""
        self.name = f"{role} {socket.gethostname()} {os.getpid()}"
        self.outlook = Outlook()
        self._life = Life.here()
        self._spare = spare
        self.in_force: str | None = None
        self._role = role
        self._generations = generations
        self._board = board
        self._holders = holders
        self._poll_seconds = poll_seconds
        self._readiness = ReadinessLog()
        self._redis = redis or Outage("Redis", "Generations that are promoted now are not known.")
        self._refused: dict[str, tuple[str, float]] = {}
        self._unheard = False
        self._said: Holding | None = None  # as the board has it
        self._said_at = 0.0
        self._read_at = -math.inf  # the board
        self._speaking = threading.Lock()
        self.told: Callable[[], object] = lambda: None
        """Called from any thread when what is known or held may have changed."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="adopter", daemon=True)

    @property
    def wanted(self) -> list[str]:
        """Ids to serve, the best first: what is live, what was, what lies on this host."""
        named = (self.outlook.live, self.outlook.previous, *self._spare())
        return list(dict.fromkeys(each for each in named if each))

    @property
    def held(self) -> tuple[str, ...]:
        """Ids that every holder has."""
        first, *others = (holder.held for holder in self._holders)
        return tuple(each for each in first if all(each in other for other in others))

    @property
    def holding(self) -> Holding:
        """What this process says of itself."""
        refused = {generation: why for generation, (why, _) in dict(self._refused).items()}
        return Holding(self.name, self._role, tuple(sorted(self.held)), self.in_force, refused, self._life)

    def unready(self, refused: bool) -> str:
        """Why there is no generation to serve; refused: whether one was refused, here or elsewhere."""
        outlook = self.outlook
        return readiness.why_nothing_is_served(outlook.looked, outlook.fault, outlook.live, refused)

    def start(self) -> None:
        """Look once, so that whoever asks next finds what there is to find, and go on looking in a thread."""
        # All that was imported lives as long as the process: out of the collector's sight it costs no pauses.
        # Generations stay in it: they are few objects, and go.
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG, 10, 10)
        try:
            self.look()
        except Exception:
            logger.exception("Looking for generations failed; trying again.")
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and tell the others."""
        with self._speaking:  # whoever announces later comes back from the dead
            self._stopped.set()
            with suppress(StoreError):
                self._board.withdraw(self.name)
        self._board.close()

    def refuse(self, generation: str, why: str) -> None:
        """Leave a generation alone for a while, and say why."""
        self._refused[generation] = why, time.monotonic() + PATIENCE
        metrics.refused_total.labels(self._role).inc()
        logger.error("Generation %s was refused: %s", generation, why)

    def accept(self, generation: str) -> None:
        """Take back what was said against a generation."""
        self._refused.pop(generation, None)

    def refuses(self, generation: str) -> bool:
        """Whether a generation was refused and is not to be tried again yet."""
        _, until = self._refused.get(generation, ("", 0.0))
        return time.monotonic() < until

    def look(self) -> None:
        """Read the aliases and the board, load what is to be held, and announce what is."""
        self.outlook = self._read()
        needed = {*self.outlook.in_force, *filter(None, (self.in_force, self.outlook.live))}
        for holder in self._holders:
            holder.keep(needed)
        for generation in self.outlook.in_force:
            self._hold(generation)
        # Down to the best that all can serve; usually the first is held, and nothing is to be done.
        any(self._hold(each) and self._serves(each) for each in self.wanted)
        self.announce()
        self.told()
        if self._role != "gateway":  # the gateway's Succession logs that of a gateway
            self._readiness.note(self.unready_backend)

    @property
    def unready_backend(self) -> str | None:
        """Why retrieval or ranking is not ready; None where it is."""
        return None if self.held else self.unready(bool(self._refused))

    def announce(self) -> None:
        """Tell the others what is held here, where it is news or would soon be forgotten.

        Each is a write, which a store that keeps a log syncs to its disk, and answers nobody meanwhile where that is
        slow. Who may only read Redis stays unheard.
        """
        with self._speaking:
            holding, now = self.holding, time.monotonic()
            known = holding == self._said and now - self._said_at < ANNOUNCED_SECONDS / 4
            if known or self._stopped.is_set():
                return
            try:
                self._board.announce(holding)
                self._said, self._said_at = holding, now
            except StoreUnavailable:
                pass  # `outlook.fault` says so
            except StoreError as error:
                if not self._unheard:
                    logger.warning("What is held here can't be announced; batches alone tell a gateway: %s", error)
                self._unheard = True

    def _run(self) -> None:
        given_back = time.monotonic()
        while not self._stopped.is_set():
            try:
                self._board.wait(SOON if self._busy() else self._poll_seconds)
                if self._stopped.is_set():
                    return
                self.look()
                if time.monotonic() - given_back > TRIM_SECONDS:
                    _give_memory_back()
                    given_back = time.monotonic()
            except Exception:
                logger.exception("Looking for generations failed; trying again.")
                self._stopped.wait(SOON)

    def _busy(self) -> bool:
        """Whether something is about to change."""
        outlook = self.outlook
        if outlook.fault or not outlook.live:
            return True
        return bool(outlook.in_force - {outlook.live} or outlook.lacking(outlook.live))

    @property
    def _settled(self) -> bool:
        """Whether all that answer do so from what is live, and this process is one of them if it is a gateway."""
        here = self.in_force == self.outlook.live if self._role == "gateway" else bool(self.outlook.in_force)
        return here and not self._busy()

    def _read(self) -> Outlook:
        try:
            live, previous = self._generations.aliases()
        except StoreError as error:
            self._redis.failed(str(error))
            return Outlook(True, fault=str(error))
        now, still = time.monotonic(), (live, previous) == (self.outlook.live, self.outlook.previous)
        if still and self._settled and now - self._read_at < ANNOUNCED_SECONDS / 4:
            self._redis.worked()
            return self.outlook  # who comes or goes meanwhile changes nothing that is served
        self._read_at = now
        processes, fault = list[Holding](), None
        try:
            everyone = {told.name: told for told in self._board.processes()}
            self._said = everyone.pop(self.name, None)  # a store may lose what it had, or have it as it was
            processes = list(everyone.values())
        except StoreUnavailable as error:  # nobody is there to be waited for, it would seem
            fault = str(error)
        except StoreError:
            pass  # an ACL may forbid the board and nothing else
        if fault:
            self._redis.failed(fault)
        else:
            self._redis.worked()
        outlook = Outlook(True, live, previous, fault, tuple(processes))
        known = {live, previous, *self._spare(), *outlook.in_force}
        self._refused = {each: told for each, told in self._refused.items() if each in known}
        return outlook

    def _serves(self, generation: str) -> bool:
        """Whether nobody refuses a generation."""
        return not self.refuses(generation) and generation not in self.outlook.refused

    def _hold(self, generation: str) -> bool:
        """Whether a generation is held now; loads it where it is not."""
        if generation in self.held:
            return True
        if self.refuses(generation):
            return False
        try:
            for holder in self._holders:
                self._wait(holder, generation)
        except StoreUnavailable as error:
            self._redis.failed(str(error))
            self.outlook = replace(self.outlook, fault=str(error))
            return False
        except Exception as error:  # whatever it is: the others go on, and people are told
            if not isinstance(error, TandemError):
                logger.exception("Generation %s could not be loaded.", generation)
            self.refuse(generation, str(error) or type(error).__name__)
            return False
        self.accept(generation)
        self.told()
        gc.collect()  # what was let go may hold itself in a circle, and files of hundreds of MiB with it
        _give_memory_back()
        return True

    def _wait(self, holder: GenerationHolder[Any], generation: str) -> None:
        """Until a generation is loaded; who is silent for long counts as gone, so it says meanwhile that it is here."""
        while True:
            self.announce()
            with suppress(TimeoutError):
                holder.wait(generation, ANNOUNCED_SECONDS / 8)
                return


def _give_memory_back() -> None:
    """Let the system have what loading and large batches used: glibc keeps up to 64 MiB of it in every worker."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
