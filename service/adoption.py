"""What every process that serves does with generations: follow the aliases, load what goes live, and say what it holds.

A thread of each process. It loads the generation that goes live beside those it holds, refuses what can't be served,
and keeps what any gateway still answers from. Which generation answers is the gateway's to decide (`succession`).
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from recsys.errors import StoreError, StoreUnavailable, TandemError
from recsys.store.base import LIVE, PREVIOUS, GenerationStore
from recsys.store.board import Board, Holding
from service import metrics
from service.holder import GenerationHolder

logger = logging.getLogger("tandem")

PATIENCE = 10.0
"""Seconds between two tries of a generation that was refused."""

SOON = 0.25
"""Seconds between two looks while something is under way: a generation loads somewhere, or the store is away."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a process knew when it last looked.

    live, previous: what the aliases name; None where they name nothing or can't be read. fault: why not. processes:
    what the others announced. spare: what lies on this host, to serve where no alias helps, best first.
    """

    live: str | None = None
    previous: str | None = None
    fault: str | None = None
    processes: tuple[Holding, ...] = ()
    spare: tuple[str, ...] = ()

    @property
    def wanted(self) -> list[str]:
        """Ids to serve, the best first."""
        return list(dict.fromkeys(each for each in (self.live, self.previous, *self.spare) if each))

    @property
    def in_force(self) -> set[str]:
        """Ids that other gateways answer from."""
        return {told.in_force for told in self.processes if told.in_force}

    def lacking(self, generation: str) -> list[Holding]:
        """Processes that announced themselves and do not hold a generation."""
        return [told for told in self.processes if generation not in told.held]


class Adopter:
    """Holds what is live, in one process; `outlook` is what it knows."""

    def __init__(
        self,
        role: str,
        generations: GenerationStore,
        board: Board,
        holders: Sequence[GenerationHolder[Any]],
        spare: Sequence[str] = (),
        poll_seconds: float = 2.0,
    ) -> None:
        """holders: all have to load a generation before it is held. spare: as in Outlook."""
        self.name = f"{role} {socket.gethostname()} {os.getpid()}"
        self.outlook = Outlook(spare=tuple(spare))
        self.in_force: str | None = None
        self._role = role
        self._generations = generations
        self._board = board
        self._holders = holders
        self._poll_seconds = poll_seconds
        self._refused: dict[str, tuple[str, float]] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="adopter", daemon=True)

    @property
    def held(self) -> tuple[str, ...]:
        """Ids that every holder has."""
        first, *others = (holder.held for holder in self._holders)
        return tuple(each for each in first if all(each in other for other in others))

    @property
    def holding(self) -> Holding:
        """What this process says of itself."""
        refused = {generation: why for generation, (why, _) in dict(self._refused).items()}
        return Holding(self.name, self._role, self.held, self.in_force, refused)

    def start(self) -> None:
        """Look once, so that whoever asks next finds what there is to find, and go on looking in a thread."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and tell the others."""
        self._stopped.set()
        with suppress(StoreError):
            self._board.withdraw(self.name)
        self._board.close()

    def refuse(self, generation: str, why: str) -> None:
        """Leave a generation alone for a while, and say why."""
        self._refused[generation] = why, time.monotonic() + PATIENCE
        metrics.refused_total.labels(self._role).inc()
        logger.error("Generation %s was refused: %s", generation, why)

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
        # The best that can be had; usually the first is held, and nothing is to be done.
        any(self._hold(generation) for generation in self.outlook.wanted)
        self.announce()

    def announce(self) -> None:
        """Tell the others what is held here; who may only read Redis stays unheard."""
        with suppress(StoreError):
            self._board.announce(self.holding)

    def remember(self, spare: Sequence[str]) -> None:
        """From now on these lie on this host, best first."""
        self.outlook = replace(self.outlook, spare=tuple(spare))

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._board.wait(SOON if self._busy() else self._poll_seconds)
                self.look()
            except Exception:
                logger.exception("Looking for generations failed; trying again.")
                self._stopped.wait(SOON)

    def _busy(self) -> bool:
        """Whether something is about to change."""
        outlook = self.outlook
        if outlook.fault or not outlook.live:
            return True
        return bool(outlook.in_force - {outlook.live} or outlook.lacking(outlook.live))

    def _read(self) -> Outlook:
        spare = self.outlook.spare
        try:
            live, previous = self._generations.alias(LIVE), self._generations.alias(PREVIOUS)
        except StoreError as error:
            return Outlook(fault=str(error), spare=spare)
        processes: list[Holding] = []
        with suppress(StoreError):  # an ACL may forbid the board and nothing else
            processes = [told for told in self._board.processes() if told.name != self.name]
        outlook = Outlook(live, previous, None, tuple(processes), spare)
        named = {*outlook.wanted, *outlook.in_force}
        self._refused = {each: told for each, told in self._refused.items() if each in named}
        return outlook

    def _hold(self, generation: str) -> bool:
        """Whether a generation is held now; loads it where it is not."""
        if generation in self.held:
            return True
        if self.refuses(generation):
            return False
        try:
            for holder in self._holders:
                holder.wait(generation)
        except StoreUnavailable as error:
            self.outlook = replace(self.outlook, fault=str(error))
            return False
        except (TandemError, OSError) as error:
            self.refuse(generation, str(error))
            return False
        self._refused.pop(generation, None)
        # What was loaded lives long: taking it out of the collector's sight ends its long pauses.
        gc.collect()
        gc.freeze()
        _give_memory_back()
        return True


def _give_memory_back() -> None:
    """Let the system have what loading used: glibc keeps up to 64 MiB of it in every worker."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
