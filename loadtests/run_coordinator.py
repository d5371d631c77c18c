"""Coordinator of a load test over Locust's processes: the master gives each process a share and collects the figures.

A process without workers is master and worker at once: Locust's LocalRunner returns its messages to itself.
"""

from __future__ import annotations

import logging
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import gevent
from locust.env import Environment
from locust.runners import STATE_MISSING, LocalRunner, MasterRunner, WorkerRunner
from locust.stats import CSV_STATS_INTERVAL_SEC

from loadtests.command_line import LoadError, check, population_of, rate_of, slate_size
from loadtests.doors import Door
from loadtests.generator import LEAD_SECONDS, Generator, Share
from loadtests.tally import Tally
from loadtests.user_sequence import Population

SHARE, STOP, FIGURES = "tandem-share", "tandem-stop", "tandem-figures"
"""Names of messages to a worker, and of the entry in a worker's report."""

SPAWN_SECONDS = 10.0
"""Limit of the wait for the workers' count of users."""

REPORT_SECONDS = 10.0
"""Limit of the wait for figures after the last answers: Locust sends a worker's report every 3 s."""

Deliver = Callable[[str, dict[str, Any]], None]

logger = logging.getLogger(__name__)


class Worker:
    """Sends its share of a run with the users of its process, and reports its figures."""

    def __init__(self, environment: Environment, doors: dict[Any, Door], deliver: Deliver | None) -> None:
        """doors: by user. deliver: called with the figures; None: they go to the master with Locust's next report."""
        self._environment, self._doors, self._deliver = environment, doors, deliver
        self._generator: Generator | None = None
        self._stopped = False
        self._figures: dict[str, Any] | None = None
        environment.runner.register_message(SHARE, self._take)
        environment.runner.register_message(STOP, self._stop)
        environment.events.report_to_master.add_listener(self._report)

    def _take(self, msg: Any, **_: Any) -> None:
        self._generator, self._stopped = None, False
        gevent.spawn(self._work, msg.data)

    def _stop(self, **_: Any) -> None:
        self._stopped = True
        if self._generator:
            self._generator.stop()

    def _work(self, work: dict[str, Any]) -> None:
        while len(self._doors) < self._environment.runner.user_count:
            gevent.sleep(0.01)
        population = work["population"]
        users = Population(**population | {"names": tuple(population["names"])})
        options = Namespace(**vars(self._environment.parsed_options) | work["promised"])
        doors = list(self._doors.values())
        self._generator = generator = Generator(doors, options, Share(work["number"], work["of"]), users)
        try:
            if not self._stopped:
                generator.run(self._environment.stats.reset_all)
        except Exception:
            generator.tally.lost_processes = 1
            raise
        finally:
            self._send({"run": work["run"], "tally": generator.tally.to_json()})

    def _send(self, figures: dict[str, Any]) -> None:
        if self._deliver:
            self._deliver("local", {FIGURES: figures})
        else:
            self._figures = figures

    def _report(self, data: dict[str, Any], **_: Any) -> None:
        """In the same message as Locust's own statistics: the master then has both or none."""
        if self._figures:
            data[FIGURES], self._figures = self._figures, None


class RunCoordinator:
    """Starts, ends and judges each run; of a master, or of a process without workers."""

    def __init__(self, environment: Environment, judge: Callable[[Environment, Tally, int], None]) -> None:
        """judge: called after each run with the figures and the number of processes."""
        self.population: Population | None = None  # of the first run, if it is known before
        self._environment, self._judge = environment, judge
        self._run, self._running, self._dealt, self._stopping = 0, False, False, False
        self._parts: dict[str, Tally | None] = {}
        self._collected_at = 0.0
        events = environment.events
        events.test_start.add_listener(self._begin)
        events.spawning_complete.add_listener(self._deal)
        events.worker_report.add_listener(self.collect)
        events.test_stopping.add_listener(self._end)
        events.test_stop.add_listener(self.conclude)
        events.quitting.add_listener(self.conclude)

    @property
    def running(self) -> bool:
        """Whether a run has started and is not judged."""
        return self._running

    @property
    def over(self) -> bool:
        """Whether the run can end: each process has sent its figures or is lost, and Locust has written its CSV."""
        wait = 1.5 * CSV_STATS_INTERVAL_SEC if self._options.csv_prefix else 0.0
        return self._complete and not self._stopping and time.monotonic() - self._collected_at > wait

    def collect(self, client_id: str, data: dict[str, Any]) -> None:
        """Take the figures of a process out of its report."""
        figures = data.get(FIGURES)
        if figures and figures["run"] == self._run and client_id in self._parts:
            self._parts[client_id] = Tally.from_json(figures["tally"])
            self._collected_at = time.monotonic()

    def conclude(self, **_: Any) -> None:
        """Judge the run, once."""
        self._end()
        if not self._running:
            return
        self._running, whole = False, Tally()
        for part in self._parts.values():
            whole.merge(part or Tally(lost_processes=1))
        self._judge(self._environment, whole, len(self._parts))

    @property
    def _options(self) -> Namespace:
        return self._environment.parsed_options

    def _begin(self, **_: Any) -> None:
        self._run += 1
        self._running, self._dealt, self._stopping, self._parts = True, False, False, {}

    def _deal(self, **_: Any) -> None:
        """Give each process that has users its share, once a run: later users join no run."""
        if not self._running or self._dealt:
            return
        self._dealt, runner = True, self._environment.runner
        try:
            check(self._options)
            population = self.population or population_of(self._options)
        except LoadError as error:
            logger.error("tandem: %s", error)
            self._running = False  # nothing to judge; the shape ends the run
            return
        self.population = None
        self._parts = dict.fromkeys(self._processes())
        # The workers' hosts need no surfaces.toml.
        work: dict[str, Any] = {"promised": {"rate": rate_of(self._options), "k": slate_size(self._options)}}
        work |= {"run": self._run, "of": len(self._parts), "population": asdict(population)}
        for number, process in enumerate(self._parts):
            runner.send_message(SHARE, work | {"number": number}, process)
        gevent.spawn_later(LEAD_SECONDS + self._options.warmup, self._count, self._run)

    def _processes(self) -> list[str]:
        runner = self._environment.runner
        if not isinstance(runner, MasterRunner):
            return ["local"]
        end = time.monotonic() + SPAWN_SECONDS
        while runner.user_count < runner.target_user_count and time.monotonic() < end:
            gevent.sleep(0.01)
        return [worker.id for worker in runner.clients.values() if worker.user_count]

    def _count(self, run: int) -> None:
        """Let the master's statistics begin when the warm-up ends, so that requests a second are of the run alone."""
        if run == self._run and isinstance(self._environment.runner, MasterRunner):
            self._environment.stats.reset_all()

    def _end(self, **_: Any) -> None:
        """Send no more requests, and wait for the figures."""
        if not self._running or self._complete:
            return
        self._stopping, end = True, time.monotonic() + self._options.give_up + REPORT_SECONDS
        if self._dealt:
            self._environment.runner.send_message(STOP)
        while self._dealt and not self._complete and time.monotonic() < end:
            gevent.sleep(0.05)

    @property
    def _complete(self) -> bool:
        return self._dealt and not any(part is None and self._present(name) for name, part in self._parts.items())

    def _present(self, process: str) -> bool:
        runner = self._environment.runner
        if not isinstance(runner, MasterRunner):
            return True
        return process in runner.clients and runner.clients[process].state != STATE_MISSING


def coordinate(
    environment: Environment, doors: dict[Any, Door], judge: Callable[[Environment, Tally, int], None]
) -> RunCoordinator | None:
    """Set up this process for its part; the coordinator, except in a worker."""
    if isinstance(environment.runner, WorkerRunner):
        Worker(environment, doors, None)
        return None
    coordinator = RunCoordinator(environment, judge)
    if isinstance(environment.runner, LocalRunner):
        Worker(environment, doors, coordinator.collect)
    return coordinator
