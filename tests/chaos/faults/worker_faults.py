"""Kills worker processes of the service under load, for chaos tests: how soon it recovers, how many requests fail."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from tests.judged_load.grpc_load import GrpcLoad
from tests.judged_load.http_load import Answer
from tests.judged_load.outcome import Limits, Outcome, judge
from tests.judged_load.served_pair import USERS, ServedPair
from tests.servers.deployment import SERVICES, workers

RECOVERY_SECONDS = 15.0
"""From the kill to the first whole answer, at most: a worker starts as a new interpreter."""

TWO_GATEWAYS = {"TANDEM_GATEWAY_WORKERS": "2"}
"""With a second gateway, a kill costs only the requests of the killed gateway."""

LOST_SHARE = 0.005
"""Limit of the share of requests that fail around the kill of one of two gateways."""

PAUSES = (0.0, 0.005, 0.01, 0.02)
"""Seconds between the deaths of two workers: the process manager may replace the first one in that time."""

BEFORE, AFTER = 5.0, RECOVERY_SECONDS + 5.0
"""Seconds of load before and after a kill."""

DEATHS = "tandem_worker_deaths_total"


def worker_killed(world: ServedPair, service: str) -> Outcome:
    """Kill all workers of a service at once. Without a gateway a deployment answers no request."""
    wrong = []
    with world.load() as load:
        time.sleep(BEFORE)
        before = workers(world.deployment, service)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        killed = time.time()
        recovery = load.wait(lambda answer: answer.whole, 30)
        time.sleep(max(0.0, killed + AFTER - time.time()))
    now = workers(world.deployment, service)
    if not before or before & now:
        wrong.append(f"the workers were {before} before, {now} are now")
    if any(name in world.status()["refused"] for name in world.expected):
        wrong.append("a generation was refused")
    slowest = max(each.seconds for each in load.answers if each.due > killed)
    limits, note = _limits(service), f"slowest answer {1e3 * slowest:.0f} ms"
    fault = f"{service.lower()} killed"
    return judge(fault, load.answers, world.expected, limits, recovery=recovery, note=note, wrong=wrong)


def one_killed(world: ServedPair, service: str) -> Outcome:
    """Kill one worker, with requests over HTTP and gRPC: the death is counted, and the worker is replaced.

    world: with TWO_GATEWAYS.
    """
    deaths, before = world.metric(DEATHS), workers(world.deployment, service)
    with world.load(20) as load, GrpcLoad(world.deployment.grpc, USERS, 20) as rpc:
        time.sleep(BEFORE)
        os.kill(min(before), signal.SIGKILL)
        killed = time.time()
        time.sleep(AFTER)
    answers = [*load.answers, *rpc.answers]
    wrong = _lost(answers) if service == "Gateway" else []
    if (now := len(workers(world.deployment, service))) != len(before):
        wrong.append(f"there are {now} workers, and there were {len(before)}")
    wrong += _miscounted(world, deaths + 1)
    victim = f"one of {len(before)} {service.lower()} workers" if len(before) > 1 else service.lower()
    fault, recovery = f"{victim} killed, both doors", _recovery(answers, killed)
    return judge(fault, answers, world.expected, _limits(service), recovery=recovery, wrong=wrong)


def both_killed(world: ServedPair) -> Outcome:
    """Kill a worker of retrieval and one of ranking within milliseconds, several times: each death is counted."""
    recovery, deaths = 0.0, world.metric(DEATHS)
    with world.load() as load:
        for pause in PAUSES:
            time.sleep(BEFORE)
            for pids in [workers(world.deployment, service) for service in ("Retrieval", "Ranking")]:
                os.kill(min(pids), signal.SIGKILL)
                deaths += 1
                time.sleep(pause)
            recovery = max(recovery, load.wait(lambda answer: answer.whole, 30) or float("inf"))
        time.sleep(AFTER)
    fault = f"retrieval and ranking killed within {1e3 * max(PAUSES):.0f} ms, {len(PAUSES)} times"
    limits, wrong = _limits("Ranking"), _miscounted(world, deaths)
    return judge(fault, load.answers, world.expected, limits, recovery=recovery, wrong=wrong)


def _limits(service: str) -> Limits:
    return Limits(recovery_s=RECOVERY_SECONDS, failed=service == "Gateway")


def _lost(answers: Sequence[Answer]) -> list[str]:
    failed = [each for each in answers if each.failed]
    if len(failed) <= LOST_SHARE * len(answers):
        return []
    return [f"{len(failed)} of {len(answers)} failed: {sorted({each.error or str(each.status) for each in failed})}"]


def _recovery(answers: Sequence[Answer], killed: float) -> float:
    """Seconds from a kill to the first second in which every answer is whole."""
    moments = [killed, *sorted(each.due for each in answers if each.due > killed and not each.whole)]
    ends = [*moments[1:], float("inf")]
    return next(moment for moment, end in zip(moments, ends, strict=True) if end - moment >= 1) - killed


def _miscounted(world: ServedPair, deaths: float) -> list[str]:
    """Sentences where the metrics count other deaths, or fewer live workers than are wanted."""
    wrong = (
        [f"{counted:.0f} deaths were counted, not {deaths:.0f}"] if (counted := world.metric(DEATHS)) != deaths else []
    )
    for service in SERVICES:
        alive, wanted = (
            world.metric(f'tandem_workers{{service="{service}",state="{state}"}}') for state in ("alive", "wanted")
        )
        wrong += [f"{alive:.0f} of {wanted:.0f} workers of {service} live"] if alive != wanted else []
    return wrong
