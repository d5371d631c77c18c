"""The parent of all workers: it notices at once that one died, and lets a process that waits ready take its place.

BentoML's own arbiter (circus) looks every ten seconds, not at all in a container, and then starts an interpreter that
has everything to import. Here a death is heard (SIGCHLD) and a standby becomes the worker.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections import Counter
from typing import Any

from service.relief import Standbys, relieved

logger = logging.getLogger("tandem")

REST = 5.0
"""Seconds after a start in which no standby is prepared: its imports would take a core from the worker that starts."""

LONG_REST = 60.0
"""The same where a standby ended by itself: it may again."""

EARLY = 10.0
"""Seconds within which a worker's death is early."""

AT_ONCE = 3
"""Early deaths in a row that are mended at once; what then goes on dying waits for BentoML's look every ten seconds."""

SOON = 0.1
"""Seconds until a look is tried again that the arbiter was too busy for."""


def attend(standbys: int) -> None:
    """From now on, let every arbiter of BentoML that starts in this process mind its workers.

    Where BentoML's insides are not those of 1.4 it goes on as it would, which is said.
    """
    try:
        from bentoml._internal.utils.circus import Arbiter
        from circus.process import Process
        from circus.watcher import Watcher

        start = Arbiter.start
        _ = Process.spawn, Process.format_args, Process._get_sockets_fds, Watcher._process_class
    except (ImportError, AttributeError) as error:
        logger.warning("This BentoML has no %s: a worker that dies comes back after 5 to 15 s.", error)
        return

    def start_attended(arbiter: Any, cb: Any = None) -> None:
        Attendant(arbiter, Standbys(standbys)).begin()
        start(arbiter, cb)

    Arbiter.start = start_attended  # type: ignore[assignment, method-assign] # the hook BentoML does not offer


class Attendant:
    """Minds the workers of one arbiter; all but the signal runs in its loop."""

    def __init__(self, arbiter: Any, standbys: Standbys) -> None:
        self._arbiter = arbiter
        self._standbys = standbys
        self._early: Counter[str] = Counter()
        self._died: Counter[str] = Counter()

    def begin(self) -> None:
        """Before the arbiter starts: hear of deaths, and prepare standbys when the workers have started."""
        from circus.watcher import Watcher

        process = relieved(self._standbys)
        Watcher._process_class = property(lambda _: process)
        for watcher in self._arbiter.watchers:
            watcher.respawn = True  # in a container too: without ranking a gateway still answers
            watcher.hooks |= {"after_reap": self._note_death, "after_spawn": self._note_start}
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, lambda *_: self._arbiter.loop.add_callback_from_signal(self._look))
        self._arbiter.loop.call_later(REST, self._prepare)

    def _look(self) -> None:
        """Some child ended: if it was a worker let the arbiter start another."""
        if self._arbiter._stopping:
            return
        if self._standbys.drop_ended():
            logger.warning("A process that stood by to become a worker ended; another follows.")
            self._arbiter.loop.call_later(LONG_REST, self._prepare)
        if not self._is_due():
            return
        self._manage()

    def _manage(self) -> None:
        from circus.exc import ConflictError

        try:
            self._arbiter.loop.add_future(self._arbiter.manage_watchers(), lambda done: done.result())
        except ConflictError:  # it starts or stops workers: one thing at a time
            if not self._arbiter._stopping:
                self._arbiter.loop.call_later(SOON, self._manage)

    def _is_due(self) -> bool:
        """Whether a worker is dead that has not died early too often."""
        from circus.process import DEAD_OR_ZOMBIE, UNEXISTING

        due, dead = False, (DEAD_OR_ZOMBIE, UNEXISTING)
        for watcher in self._arbiter.watchers:
            for age in [each.age() for each in watcher.processes.values() if each.status in dead]:
                self._early[watcher.name] = self._early[watcher.name] + 1 if age < EARLY else 0
                due = due or self._early[watcher.name] <= AT_ONCE
        return due

    def _note_death(self, watcher: Any, process_pid: int, exit_code: int, **_: Any) -> None:
        if self._arbiter._stopping:
            return
        self._died[watcher.name] += 1
        how = f"by signal {-exit_code}" if exit_code < 0 else f"with code {exit_code}"
        logger.warning("The worker of %s, process %d, ended %s.", _service(watcher), process_pid, how)

    def _note_start(self, watcher: Any, pid: int, **_: Any) -> bool:
        """A hook of circus: False would end the process."""
        if self._died[watcher.name]:
            self._died[watcher.name] -= 1
            logger.warning("Process %d takes its place as a worker of %s.", pid, _service(watcher))
            self._arbiter.loop.call_later(REST, self._prepare)
        return True

    def _prepare(self) -> None:
        if not self._arbiter._stopping:
            self._standbys.prepare(self._arbiter.watchers[0])


def _service(watcher: Any) -> str:
    """The service that a watcher minds; the entry's name says nothing, its command line does."""
    args = list(getattr(watcher, "args", None) or ())
    if "--service-name" in args:
        return str(args[args.index("--service-name") + 1])
    return str(watcher.name).partition("_")[2] or "Gateway"
