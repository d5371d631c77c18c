"""Workers of a deployment that are killed under load: how long until answers lack nothing again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from tests.chaos.faults import is_whole
from tests.chaos.load import Answer
from tests.chaos.outcome import Outcome, judge
from tests.chaos.rpc_load import RpcLoad
from tests.chaos.served import USERS, Served
from tests.servers.deployment import Deployment, command, descendants

BACK = 15.0
"""Seconds from the kill to the first whole answer, at most: a worker starts as a new interpreter."""

SERVICES = ("Retrieval", "Ranking", "Gateway")

TWO_GATEWAYS = {"TANDEM_GATEWAY_WORKERS": "2"}
"""With a second gateway, a kill costs only the requests that the killed gateway had."""

LOST_SHARE = 0.005
"""Share of the requests around the kill of one of two gateways that may fail."""

PAUSES = (0.0, 0.005, 0.01, 0.02)
"""Seconds between the deaths of two workers: the process manager may replace the first in that time."""

BEFORE, AFTER = 5.0, BACK + 5.0
"""Seconds of load around a kill."""


def workers(deployment: Deployment, service: str) -> set[int]:
    """The processes of one service."""
    return {pid for pid in descendants(deployment.process.pid) if _serves(pid, service)}


def worker_killed(world: Served, service: str) -> Outcome:
    """kill -9 of all workers of a service, at once; without its gateway a deployment answers nothing meanwhile."""
    wrong = []
    with world.load() as load:
        time.sleep(BEFORE)
        before = workers(world.deployment, service)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        killed = time.time()
        recovery = load.wait(is_whole, 30)
        time.sleep(max(0.0, killed + AFTER - time.time()))
    if not before or before & workers(world.deployment, service):
        wrong.append(f"the workers were {before} before, {workers(world.deployment, service)} are now")
    if any(name in world.status()["refused"] for name in world.expected):
        wrong.append("a generation was refused")
    after = [each for each in load.answers if each.due > killed]
    slowest = max(each.seconds for each in after)
    return judge(
        f"{service.lower()} killed",
        load.answers,
        world.expected,
        recovery,
        within=BACK,
        down=service == "Gateway",
        note=f"slowest answer {1e3 * slowest:.0f} ms",
        wrong=wrong,
    )


def one_killed(world: Served, service: str) -> Outcome:
    """kill -9 of one worker, with requests at both doors; world: with TWO_GATEWAYS. It is counted, and replaced."""
    wrong = []
    deaths, before = world.metric("tandem_worker_deaths_total"), workers(world.deployment, service)
    with world.load(20) as load, RpcLoad(world.deployment.grpc, USERS, 20) as rpc:
        time.sleep(BEFORE)
        os.kill(min(before), signal.SIGKILL)
        killed = time.time()
        time.sleep(AFTER)
    answers = [*load.answers, *rpc.answers]
    back = _full_again(answers, killed)
    if service == "Gateway":
        wrong += _lost(answers)
    if len(workers(world.deployment, service)) != len(before):
        wrong.append(f"there are {len(workers(world.deployment, service))} workers, and there were {len(before)}")
    if (counted := world.metric("tandem_worker_deaths_total") - deaths) != 1:
        wrong.append(f"{counted:.0f} deaths were counted")
    wrong += [f"{name} live" for name in _fewer(world)]
    how = f"one of {len(before)} {service.lower()} workers killed" if len(before) > 1 else f"{service.lower()} killed"
    return judge(
        f"{how}, both doors", answers, world.expected, back, within=BACK, down=service == "Gateway", wrong=wrong
    )


def both_killed(world: Served) -> Outcome:
    """kill -9 of a worker of retrieval and one of ranking within milliseconds, several times: each is counted."""
    wrong, back, killed = [], 0.0, 0
    deaths = world.metric("tandem_worker_deaths_total")
    with world.load() as load:
        for pause in PAUSES:
            time.sleep(BEFORE)
            before = [workers(world.deployment, service) for service in ("Retrieval", "Ranking")]
            for pids in before:
                os.kill(min(pids), signal.SIGKILL)
                killed += 1
                time.sleep(pause)
            back = max(back, load.wait(is_whole, 30) or float("inf"))
        time.sleep(AFTER)
    if (counted := world.metric("tandem_worker_deaths_total") - deaths) != killed:
        wrong.append(f"{counted:.0f} deaths of {killed} were counted")
    wrong += [f"{name} live" for name in _fewer(world)]
    fault = f"retrieval and ranking killed within {1e3 * max(PAUSES):.0f} ms, {len(PAUSES)} times"
    return judge(fault, load.answers, world.expected, back, within=BACK, wrong=wrong)


def _lost(answers: Sequence[Answer]) -> list[str]:
    failed = [each for each in answers if each.failed]
    if len(failed) <= LOST_SHARE * len(answers):
        return []
    return [f"{len(failed)} of {len(answers)} failed: {sorted({each.said or str(each.status) for each in failed})}"]


def _full_again(answers: Sequence[Answer], killed: float) -> float:
    """Seconds from a kill to the first second in which every request got all."""
    moments = [killed, *sorted(each.due for each in answers if each.due > killed and not is_whole(each))]
    ends = [*moments[1:], float("inf")]
    return next(moment for moment, end in zip(moments, ends, strict=True) if end - moment >= 1) - killed


def _fewer(world: Served) -> list[str]:
    """Services of which fewer live than should, as the metrics have it."""
    counts = {
        service: [
            world.metric(f'tandem_workers{{service="{service}",state="{state}"}}') for state in ("alive", "wanted")
        ]
        for service in SERVICES
    }
    return [
        f"{alive:.0f} of {wanted:.0f} of {service}" for service, (alive, wanted) in counts.items() if alive != wanted
    ]


def _serves(pid: int, service: str) -> bool:
    return f"--service-name\0{service}\0".encode() in command(pid)
