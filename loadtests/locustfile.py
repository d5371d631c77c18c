"""Load test of a deployment with Locust, as an open loop: each request is sent when it is due, whatever the answers.

`make load` runs it; the exit code is 0 if the limits of slo.toml, or of the surface, held. By hand, with Locust's page
or without:
`locust -f loadtests/locustfile.py --headless --host http://127.0.0.1:3000 --rate 200 --shape spike --seconds 60`.
A closed loop slows down with the deployment that it measures. Here every time counts from the moment a request was due.

A run leaves nothing in the store: requests are reads of users of the live models, and no recommendation is logged as
an impression. `--clicks` sends clicks too, by users whose ids have the mark `recsys.types.LOAD_TEST_USERS`.
`python -m loadtests.command_line` prints the options, and what `--users` and `--processes` mean.
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from locust import FastHttpUser, LoadTestShape, User, constant, events, task
from locust.env import Environment

from loadtests.command_line import LoadError, add_options, check, population_of, rate_of, shape_of, slate_size
from loadtests.doors import Door, GrpcDoor, HttpDoor
from loadtests.report import load_report
from loadtests.run_coordinator import RunCoordinator, coordinate
from loadtests.slo import BROKEN, LATE_GENERATOR, Slo
from loadtests.tally import Tally
from recsys.errors import SettingsError, SurfacesError
from training.report.page import write

REACH_SECONDS = 10.0

doors: dict[User, Door] = {}
"""Of the users of this process."""

events.init_command_line_parser.add_listener(add_options)


class Visitor(User):
    """A client with connections of its own. The generator of its process sends through `door`."""

    abstract = True
    wait_time = constant(1)
    environment: Environment

    def door(self) -> Door:
        """The client."""
        raise NotImplementedError

    def on_start(self) -> None:
        """Offer the client to the generator."""
        doors[self] = self.door()

    def on_stop(self) -> None:
        """Take the client back; a run keeps the clients with which it began."""
        doors.pop(self, None)

    @task
    def idle(self) -> None:
        """Do nothing: Locust needs a task in each user."""


class HttpVisitor(Visitor, FastHttpUser):
    """A client over HTTP."""

    concurrency = 4096
    max_redirects = 0

    def __init__(self, environment: Environment) -> None:
        self.connection_timeout = self.network_timeout = environment.parsed_options.give_up
        super().__init__(environment)

    def door(self) -> HttpDoor:
        """The session that Locust made."""
        options = self.environment.parsed_options
        return HttpDoor(self.client, options.deadline_ms, options.key, options.surface, options.path, options.body)


class GrpcVisitor(Visitor):
    """A client over gRPC."""

    def door(self) -> GrpcDoor:
        """A channel."""
        options, request_event = self.environment.parsed_options, self.environment.events.request
        seconds = options.deadline_ms / 1000 or options.give_up
        return GrpcDoor(str(self.environment.host), seconds, options.key, request_event, options.surface)


class WholeRun(LoadTestShape):
    """Starts all users, and ends the run when it is over."""

    use_common_options = True
    coordinator: RunCoordinator

    def tick(self) -> tuple[int, float] | None:
        """The number of users and how fast they start; None ends the run."""
        options, coordinator, seconds = self.runner.environment.parsed_options, self.coordinator, self.get_run_time()
        never_started = not coordinator.running and seconds > 0.5  # a master without workers starts nothing
        stopped = options.run_time and seconds >= options.run_time
        if never_started or stopped or (coordinator.running and coordinator.over):
            return None
        return options.num_users or 1, options.spawn_rate


@events.init.add_listener
def prepare(environment: Environment, **_: Any) -> None:
    """Choose the protocol, and end here where a run without a page cannot start."""
    coordinator = coordinate(environment, doors, judge)
    if coordinator is None:
        return  # the master of this worker does the rest, and names the class of the users
    options = environment.parsed_options
    environment.user_classes = [HttpVisitor if options.door == "http" else GrpcVisitor]
    if environment.shape_class:
        environment.shape_class.coordinator = coordinator
    if options.headless:
        try:
            check(options)
            _reach(environment.host)
            coordinator.population = population_of(options)
        except LoadError as error:
            sys.exit(f"tandem: {error}")


def _reach(host: str | None) -> None:
    """Refuse a load on a port without a server: its figures mean nothing."""
    if not host:
        raise LoadError("--host is missing: the address of the deployment, like http://127.0.0.1:3000.")
    place = urlsplit(host if "//" in host else f"//{host}")
    try:
        port = place.port or (443 if place.scheme == "https" else 80)
        socket.create_connection((place.hostname or "", port), REACH_SECONDS).close()
    except (OSError, ValueError) as error:  # ValueError: the port is none
        raise LoadError(f"no connection to {host} ({error}); `make serve` starts a deployment.") from error


def judge(environment: Environment, tally: Tally, processes: int) -> None:
    """Print the verdict of a run, write its files, and set Locust's exit code."""
    options = environment.parsed_options
    try:
        verdict = Slo.read(options.surface).judge(tally)
    except (SettingsError, SurfacesError) as error:  # the file was edited during the run
        print(f"tandem: not judged. {error}", file=sys.stderr)
        environment.process_exit_code = BROKEN
        return
    print(verdict.summary(tally))
    result = {"asked": _asked(environment, processes), "generator_late": tally.generator_late}
    result |= {**verdict.to_json(), **tally.to_json()}
    path = Path(options.result)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result), encoding="utf-8")
    held = verdict.held and not tally.failed_clicks
    environment.process_exit_code = LATE_GENERATOR if tally.generator_late else 0 if held else BROKEN
    if not options.figures_only:
        print(f"\nThe report: {write(load_report(result), path.with_suffix('.html'))}")


def _asked(environment: Environment, processes: int) -> dict[str, Any]:
    """The load that the options describe, and the users and processes that sent it."""
    options, shape = environment.parsed_options, shape_of(environment.parsed_options)
    asked = {name: getattr(options, name) for name in ("seconds", "seed", "door", "surface", "deadline_ms", "host")}
    asked |= {"rate": rate_of(options), "k": slate_size(options), "shape": shape.name, "pieces": shape.pieces}
    return asked | {"users": environment.runner.target_user_count, "processes": processes}
