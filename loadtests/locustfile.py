"""Users who browse: Zipf-popular ones, a share nobody has seen, and now and then a click.

Runs as `locust -f loadtests/locustfile.py --host http://127.0.0.1:3000` with the page, or as the gate: `make load`,
which adds `--headless` and a bounded time. The exit code says whether slo.toml held.
"""

from __future__ import annotations

import random
from typing import Any

import gevent
from locust import FastHttpUser, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from loadtests.slo import Slo, Tally

USERS = 16_000
COLD_SHARE = 0.1
CLICK_SHARE = 0.05

tally = Tally()


@events.init_command_line_parser.add_listener
def add_options(parser: LocustArgumentParser) -> None:
    """Options of our own."""
    parser.add_argument("--requests", type=int, default=0, help="end after so many recommendations (0: run by time)")


class Visitor(FastHttpUser):
    """Asks for slates one after the other, with nothing between."""

    connection_timeout = network_timeout = 10.0

    @task
    def recommend(self) -> None:
        """One slate; it must have ten distinct items."""
        user: int | str = min(int(random.paretovariate(0.6)), USERS)
        if random.random() < COLD_SHARE:
            user = f"visitor-{random.getrandbits(32)}"
        with self.client.post("/recommend", json={"user_id": user, "k": 10}, catch_response=True) as answer:
            items, degraded = _read(answer)
            whole = answer.status_code == 200 and len(set(items)) == 10
            if whole:
                answer.success()
            else:
                answer.failure(f"{answer.status_code}, {len(items)} items")
            tally.add(answer.request_meta["response_time"], whole, degraded)
        if items and random.random() < CLICK_SHARE:
            self.client.post("/events", json={"events": [{"user_id": user, "item_id": random.choice(items)}]})


def _read(answer: Any) -> tuple[list[int | str], bool]:
    """The items of a slate and whether it is degraded; no items where the body is none."""
    try:
        body = answer.json()
        return [item["item_id"] for item in body["items"]], bool(body["degraded"])
    except (ValueError, KeyError, TypeError):
        return [], False


@events.test_start.add_listener
def end_after_requests(environment: Environment, **_: Any) -> None:
    """End the run when --requests were answered; a user can't, since ending waits for the users."""
    limit = environment.parsed_options.requests

    def watch() -> None:
        while tally.requests < limit:
            gevent.sleep(0.1)
        if environment.runner:
            environment.runner.quit()

    if limit:
        gevent.spawn(watch)


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    """Print the verdict, keep it in loadtests/results/load.json, and say it by exit code."""
    verdict = Slo.read().judge(tally)
    failed_clicks = environment.stats.get("/events", "POST").num_failures
    print(verdict.table())
    if failed_clicks:
        print(f"{failed_clicks} clicks failed")
    verdict.write()
    environment.process_exit_code = 0 if verdict.held and not failed_clicks else 1
