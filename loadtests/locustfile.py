"""An open loop against a deployment: requests come when they come, whether or not the ones before were answered.

`make load` is the gate: the exit code says whether slo.toml held. By hand, with Locust's page or without:
`locust -f loadtests/locustfile.py --headless --host http://127.0.0.1:3000 --rate 200 --shape spike --seconds 60`.
A closed loop slows down together with what it measures; here every time counts from the moment a request was due.

A run leaves nothing in the store: requests are reads of users of the live generation, and no slate is logged as an
impression. `--clicks` sends clicks too, by users whose ids have the mark `recsys.types.LOAD_TEST_USERS`.
One Locust user sends the whole load: the rate comes from the shape, whatever `--users` is.
"""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
from gevent.pool import Group
from locust import FastHttpUser, User, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from loadtests.arrivals import SHAPES, Shape
from loadtests.cpu import cpu_seconds
from loadtests.doors import GrpcDoor, HttpDoor
from loadtests.options import number, process, share, user_file, user_pattern
from loadtests.report import load_report
from loadtests.slo import RESULTS, ROOT, Slo
from loadtests.tally import Tally
from loadtests.visitors import Population, Visitors
from recsys.types import LOAD_TEST_USERS
from training.report.page import write

BROKEN, LATE_GENERATOR = 1, 3
"""Exit codes: the deployment broke its promises; the generator did, so that nothing was measured."""

GIVE_UP_SECONDS = 10.0

tally = Tally()


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    """Options of our own."""
    parser.prog = "python -m locust"
    parser.add_argument(
        "--rate", type=number(float, 0, 1e5), default=0, help="requests a second; 0: what slo.toml promises"
    )
    parser.add_argument("--shape", choices=list(SHAPES), default="steady", help="how the rate goes")
    parser.add_argument(
        "--pieces", type=Shape.read, help="SECONDS:RATE,SECONDS:RATE instead of rate, shape and seconds"
    )
    parser.add_argument("--seconds", type=number(float, 0.1, 1e6), default=30, help="how long")
    parser.add_argument(
        "--warmup", type=number(float, 0, 3600), default=3, help="seconds before that are sent and not counted"
    )
    parser.add_argument("--seed", type=int, default=1, help="of arrivals and users")
    parser.add_argument("--door", choices=["http", "grpc"], default="http", help="for grpc --host is host:port")
    parser.add_argument(
        "--key",
        env_var="TANDEM_KEY",
        default="",
        is_secret=True,
        help="for read and write, where the deployment wants one; on the command line others see it",
    )
    parser.add_argument("--k", type=number(int, 1, 100), default=10, help="items of a slate")
    parser.add_argument(
        "--deadline-ms", type=number(int, 0, 999_999), default=0, help="asked for with each; 0: the deployment's own"
    )
    parser.add_argument(
        "--user-file",
        type=user_file,
        help="ids of users, one a line, the most frequent first; default: users of the live generation, which "
        "`python -m flows users` reads from the store of REDIS_URL or TANDEM_HOME",
    )
    parser.add_argument(
        "--known-users", type=number(int, 1, 1e7), default=0, help="so many users, named by --user-pattern, instead"
    )
    parser.add_argument(
        "--user-pattern", type=user_pattern, default=Population.pattern, help="their ids; {} is a number from 1"
    )
    parser.add_argument("--cold-share", type=share, default=Population.cold_share, help="of users nobody has seen")
    parser.add_argument(
        "--clicks", action="store_true", help="send clicks, by load-test users; their history expires after an hour"
    )
    parser.add_argument(
        "--click-share", type=share, default=0.05, help="of requests that a load-test user sends, with --clicks"
    )
    parser.add_argument("--pid", type=process, default=0, help="of the deployment: its CPU time is measured, too")
    parser.add_argument(
        "--result", default=str(RESULTS / "load.json"), help="where the figures go; the report beside them"
    )
    parser.add_argument("--figures-only", action="store_true", help="no page")


class OpenLoop:
    """Sends what a shape asks for, each request in a greenlet of its own."""

    environment: Environment
    population: Population

    def door(self) -> HttpDoor | GrpcDoor:
        """What to knock on."""
        raise NotImplementedError

    def follow_the_shape(self) -> None:
        """All of it, once; then the run ends."""
        options = self.environment.parsed_options
        door, group = self.door(), Group()
        warmup = Shape("warm-up", ((options.warmup, _rate(options)),))
        for shape, counted in ((warmup, False), (_shape(options), True)):
            seed = options.seed if counted else f"warm-up {options.seed}"
            self._send(shape, seed, counted, door, group)
        if self.environment.runner:
            self.environment.runner.quit()

    def _send(self, shape: Shape, seed: int | str, counted: bool, door: HttpDoor | GrpcDoor, group: Group) -> None:
        options = self.environment.parsed_options
        visitors, cpu = Visitors(self.population, seed), cpu_seconds(options.pid)
        start = time.perf_counter()
        for at in shape.arrivals(seed):
            wait = start + at - time.perf_counter()
            if wait > 0:
                gevent.sleep(wait)
            if counted:
                tally.lag.add(1000 * max(0.0, time.perf_counter() - start - at))
            group.spawn(self._one, door, visitors.one(), start, at, counted)
        gevent.sleep(max(0.0, start + shape.seconds - time.perf_counter()))
        group.join(timeout=GIVE_UP_SECONDS)
        tally.cpu_seconds = cpu_seconds(options.pid) - cpu

    def _one(self, door: HttpDoor | GrpcDoor, user: int | str, start: float, at: float, counted: bool) -> None:
        options = self.environment.parsed_options
        clicks = options.clicks and random.random() < options.click_share
        if clicks:
            user = f"{LOAD_TEST_USERS}{user}"
        reply = door.recommend(user, options.k)
        if counted:
            tally.add(at, 1000 * (time.perf_counter() - start - at), reply.outcome, reply.word)
        if clicks and reply.items:
            tally.failed_clicks += not door.click(user, random.choice(reply.items))


class HttpVisitors(OpenLoop, FastHttpUser):
    """Over HTTP."""

    concurrency = 4096
    connection_timeout = network_timeout = GIVE_UP_SECONDS
    max_redirects = 0

    @task
    def all_of_it(self) -> None:
        """Locust finds tasks in its own classes alone."""
        self.follow_the_shape()

    def door(self) -> HttpDoor:
        """The session that Locust made."""
        options = self.environment.parsed_options
        return HttpDoor(self.client, options.deadline_ms, options.key)


class GrpcVisitors(OpenLoop, User):
    """Over gRPC."""

    @task
    def all_of_it(self) -> None:
        """As above."""
        self.follow_the_shape()

    def door(self) -> GrpcDoor:
        """A channel of its own."""
        options = self.environment.parsed_options
        return GrpcDoor(str(self.environment.host), options.deadline_ms, options.key)


@events.init.add_listener
def choose_the_door(environment: Environment, **_: Any) -> None:
    """One of the two, and once: the shape says how many requests there are."""
    if environment.parsed_options:
        chosen = HttpVisitors if environment.parsed_options.door == "http" else GrpcVisitors
        chosen.fixed_count = 1  # whatever --users is: a second user would send the whole load once more
        environment.user_classes = [chosen]
        if environment.parsed_options.headless:
            _reach(str(environment.parsed_options.host))
        OpenLoop.population = _population(environment.parsed_options)


def _reach(host: str) -> None:
    """End here where nobody listens: a load on nobody says nothing."""
    place = urlsplit(host if "//" in host else f"//{host}")
    try:
        port = place.port or (443 if place.scheme == "https" else 80)
        socket.create_connection((place.hostname or "", port), GIVE_UP_SECONDS).close()
    except (OSError, ValueError) as error:  # ValueError of a port that is none
        sys.exit(f"tandem: nobody answers at {host} ({error}); `make serve` starts a deployment.")


def _population(options: Any) -> Population:
    """The users of the options, by default those of the live generation; the process ends where they can't be read."""
    if options.known_users:
        return Population(options.known_users, options.user_pattern, options.cold_share)
    if options.user_file:
        text = Path(options.user_file).read_text(encoding="utf-8")
    else:
        command = [sys.executable, "-m", "flows", "users"]
        read = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if read.returncode or not read.stdout.strip():
            why = read.stderr.strip() or "The live generation has no users."
            sys.exit(f"tandem: no users to send requests for. {why} Or name users: USERS=FILE, --user-file FILE.")
        text = read.stdout
    return Population(cold_share=options.cold_share, names=tuple(text.splitlines()))


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    """Print the verdict, keep the figures, and say it by exit code."""
    options = environment.parsed_options
    verdict = Slo.read().judge(tally)
    print(verdict.summary(tally))
    late = tally.generator_late
    asked = {name: getattr(options, name) for name in ("seconds", "seed", "door", "k", "deadline_ms", "host")}
    shape = _shape(options)
    asked |= {"rate": _rate(options), "shape": shape.name, "pieces": shape.pieces}
    told = {"asked": asked, "generator_late": late, **verdict.to_json(), **tally.to_json()}
    path = Path(options.result)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told), encoding="utf-8")
    held = verdict.held and not tally.failed_clicks
    environment.process_exit_code = LATE_GENERATOR if late else 0 if held else BROKEN
    if not options.figures_only:
        print(f"\nThe report: {write(load_report(told), path.with_suffix('.html'))}")


def _shape(options: Any) -> Shape:
    return options.pieces or SHAPES[options.shape](_rate(options), options.seconds)


def _rate(options: Any) -> float:
    return float(options.pieces.pieces[0][1] if options.pieces else options.rate or Slo.read().rate)
