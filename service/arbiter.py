"""The parent of all workers: it has them forked, notices at once that one died, and has another forked in its place.

BentoML's own arbiter (circus) looks every ten seconds, not at all in a container, and starts interpreters that have
everything to import. Here a death is heard (SIGCHLD), and a fork of what has imported everything becomes the worker.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections import Counter, defaultdict
from contextlib import suppress
from functools import partial
from typing import Any

from service.circus_ports import close_control
from service.ending import Ending, service_of
from service.forking import SERVER, Forkserver, forking, is_worker
from service.headcount import Headcount

logger = logging.getLogger("tandem")

REST = 60.0
"""Seconds until a forkserver that ended by itself is started again: it may again."""

EARLY = 10.0
"""Seconds within which a worker's death is early."""

AT_ONCE = 3
"""Early deaths in a row that are mended at once; what then goes on dying waits for BentoML's look every ten seconds, or
ends a container."""

CONTAINER = "BENTOML_CONTAINERIZED"
"""Set in the images that BentoML builds, where an orchestrator starts anew what ends."""

SOON = 0.1
"""Seconds until a look is tried again that the arbiter was too busy for."""


def attend(forks: bool, drain_seconds: float = 0.0) -> None:
    """From now on, let every arbiter of BentoML that starts in this process mind its workers, and stop them in order.

    forks: whether workers are forked. drain_seconds: what load balancers need to notice that it stops.

    Where BentoML's insides are not those of 1.4 it goes on as it would, which is said.
    """
    try:
        from bentoml._internal.utils.circus import Arbiter
        from circus.process import Process
        from circus.watcher import Watcher

        start, stop = Arbiter.start, Arbiter.stop
        _ = Process.spawn, Process.format_args, Process._get_sockets_fds, Watcher._process_class
    except (ImportError, AttributeError) as error:
        logger.warning(
            "This BentoML has no %s: a worker that dies comes back after 5 to 15 s, and all stop at once.", error
        )
        SERVER.end()
        return

    endings: dict[int, Ending] = {}

    def start_attended(arbiter: Any, cb: Any = None) -> None:
        close_control(arbiter)
        ending = endings[id(arbiter)] = Ending(arbiter, partial(stop, arbiter), drain_seconds)
        Attendant(arbiter, SERVER if forks else None, ending).begin()
        try:
            start(arbiter, cb)
        finally:
            del endings[id(arbiter)]

    def stop_attended(arbiter: Any) -> None:
        if ending := endings.get(id(arbiter)):
            ending.begin()
        else:
            stop(arbiter)

    Arbiter.start = start_attended  # type: ignore[assignment, method-assign] # the hook BentoML does not offer
    Arbiter.stop = stop_attended  # type: ignore[assignment, method-assign]


class Attendant:
    """Minds the workers of one arbiter; all but the signal runs in its loop."""

    def __init__(self, arbiter: Any, server: Forkserver | None, ending: Ending) -> None:
        self._arbiter = arbiter
        self._server = server
        self._ending = ending
        self._headcount = Headcount(None)
        self._early: Counter[str] = Counter()
        self._seen_dead: set[int] = set()
        self._missing: Counter[str] = Counter()
        self._died: Counter[str] = Counter()
        self._started: defaultdict[str, dict[int, Any]] = defaultdict(dict)  # and not heard to be dead, by pid
        self._manage_watchers = arbiter.manage_watchers

    def begin(self) -> None:
        """Before the arbiter starts: hear of deaths, and have workers forked."""
        from circus.watcher import Watcher

        self._headcount = Headcount(self._arbiter.watchers[0].env.get("PROMETHEUS_MULTIPROC_DIR"))
        if not all(map(is_worker, self._arbiter.watchers)):
            self._server = None  # in development: forks would know nothing of what was edited
        if self._server is not None:
            process = forking(self._server)
            Watcher._process_class = property(lambda _: process)
            self._serve()
            self._server.wait()
        for watcher in self._arbiter.watchers:
            self._headcount.begin(service_of(watcher), watcher.numprocesses)
            watcher.respawn = True  # in a container too: without ranking a gateway still answers
            watcher.hooks |= {"after_reap": self._note_death, "after_spawn": self._note_start}
        self._arbiter.manage_watchers = self._manage_unless_busy
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, lambda *_: self._arbiter.loop.add_callback_from_signal(self._look))

    def _look(self) -> None:
        """Some child ended: if it was a worker let the arbiter start another."""
        if self._arbiter._stopping:
            return
        if self._server is not None and self._server.drop_ended():
            logger.warning("The process that workers are forked from has ended; another follows in %.0f s.", REST)
            self._arbiter.loop.call_later(REST, self._serve)
        if self._is_due():
            self._manage()
        self._end_if_hopeless()

    def _manage(self) -> None:
        if (managed := self._manage_unless_busy()) is not None:
            self._arbiter.loop.add_future(managed, lambda done: done.result())
        elif not self._arbiter._stopping:
            self._arbiter.loop.call_later(SOON, self._manage)

    def _manage_unless_busy(self) -> Any:
        """None where it starts or stops workers: it does one thing at a time, and its own look may be left out."""
        from circus.exc import ConflictError

        with suppress(ConflictError):
            return self._manage_watchers()
        return None

    def _is_due(self) -> bool:
        """Whether a worker is dead that has not died early too often."""
        due = False
        for watcher in self._arbiter.watchers:
            for pid, process in watcher.processes.items():
                if not _is_dead(process):
                    continue
                if pid not in self._seen_dead:  # until the arbiter has reaped it, which may be too busy now
                    self._seen_dead.add(pid)
                    self._early[watcher.name] = self._early[watcher.name] + 1 if process.age() < EARLY else 0
                    self._change(watcher, self._early[watcher.name])
                due = due or self._early[watcher.name] <= AT_ONCE
            self._count(watcher)
        return due

    def _change(self, watcher: Any, early: int) -> None:
        """What is done differently after so many early deaths of one service in a row."""
        # It may be the forkserver that they die of: a new interpreter has nothing of it.
        if early > 1 and self._server is not None and self._server.kill():
            logger.warning(
                "%s died %d times in a row within %.0f s of its start, perhaps of what it was forked from: that "
                "process is ended, and for %.0f s workers start as interpreters of their own.",
                service_of(watcher),
                early,
                EARLY,
                REST,
            )
        if early == AT_ONCE + 1 and CONTAINER not in os.environ:
            logger.error(
                "%s died %d times in a row within %.0f s of its start; the lines above say why. From now on it is "
                "started every ten seconds.",
                service_of(watcher),
                early,
                EARLY,
            )

    def _end_if_hopeless(self) -> None:
        """In a container, end what can't be mended from here: who started it knows other cures, and tells people."""
        if CONTAINER not in os.environ:
            return
        for watcher in self._arbiter.watchers:
            if self._early[watcher.name] > AT_ONCE:
                logger.error(
                    "%s can't be mended here: %d times in a row its worker ended within %.0f s of its start; the lines "
                    "above say why. This container ends, to be started anew.",
                    service_of(watcher),
                    self._early[watcher.name],
                    EARLY,
                )
                self._ending.begin(broken=True)
                return

    def _count(self, watcher: Any) -> None:
        living = sum(not _is_dead(process) for process in watcher.processes.values())
        self._headcount.alive(service_of(watcher), living)

    def _note_death(self, watcher: Any, process_pid: int, exit_code: int, **_: Any) -> None:
        if self._arbiter._stopping:
            return
        self._seen_dead.discard(process_pid)
        self._started[watcher.name].pop(process_pid, None)
        self._missing[watcher.name] += 1
        self._died[watcher.name] += 1
        self._headcount.died(service_of(watcher), self._died[watcher.name], process_pid)
        self._count(watcher)
        how = f"by signal {-exit_code}" if exit_code < 0 else f"with code {exit_code}"
        logger.warning("The worker of %s, process %d, ended %s.", service_of(watcher), process_pid, how)

    def _note_start(self, watcher: Any, pid: int, **_: Any) -> bool:
        """A hook of circus: False would end the process."""
        self._started[watcher.name][pid] = watcher.processes[pid]
        self._note_unheard_deaths(watcher)
        self._count(watcher)
        if self._missing[watcher.name]:
            self._missing[watcher.name] -= 1
            logger.warning("Process %d takes its place as a worker of %s.", pid, service_of(watcher))
        return True

    def _note_unheard_deaths(self, watcher: Any) -> None:
        """Of workers that died after circus reaped and before it counted: it lets go of them without its hook."""
        for pid, process in list(self._started[watcher.name].items()):
            if pid not in watcher.processes:
                self._note_death(watcher, pid, process.poll() or 0)  # 0 where somebody else was told

    def _serve(self) -> None:
        """Have a forkserver; where none can be started, again later."""
        if self._server is None or self._arbiter._stopping:
            return
        self._server.drop_ended()
        try:
            self._server.begin()
        except OSError as error:
            logger.warning("Nothing to fork workers from can be started (%s).", error)
            self._arbiter.loop.call_later(REST, self._serve)
        self._server.tell(self._arbiter.watchers[0].env)


def _is_dead(process: Any) -> bool:
    from circus.process import DEAD_OR_ZOMBIE, UNEXISTING

    return process.status in (DEAD_OR_ZOMBIE, UNEXISTING)
