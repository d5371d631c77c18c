"""Workers of a deployment that are killed under load: how long until answers lack nothing again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.faults import is_whole
from tests.chaos.load import Answer
from tests.chaos.outcome import Outcome, judge
from tests.chaos.rpc_load import RpcLoad
from tests.chaos.served import USERS, Served
from tests.deployment import Deployment, descendants

BACK = 5.0
"""Seconds from the kill to the first whole answer, at most (issue 5)."""

SERVICES = ("Retrieval", "Ranking", "Gateway")

TWO_GATEWAYS = {"TANDEM_GATEWAY_WORKERS": "2"}
"""Who wants to lose nothing but what a killed worker had has another that answers."""

LOST_SHARE = 0.005
"""Of the requests around a kill, at most (issue 7)."""

BEFORE, AFTER = 5.0, 3 * BACK
"""Seconds of load around a kill."""


def workers(deployment: Deployment, service: str) -> set[int]:
    """The processes of one service."""
    return {pid for pid in descendants(deployment.process.pid) if _serves(pid, service)}


def standbys(deployment: Deployment) -> set[int]:
    """The processes that wait to become workers; one that has become one is none."""
    return {pid for pid in descendants(deployment.process.pid) if b"service.standby\0" in command(pid)}


def wait_for_standby(deployment: Deployment, seconds: float = 60) -> set[int]:
    """Those that are ready, as soon as one is."""
    end = time.monotonic() + seconds
    while not (ready := {pid for pid in standbys(deployment) if _idle(pid)}) and time.monotonic() < end:
        time.sleep(0.1)
    return ready


def worker_killed(world: Served, service: str, prepared: bool = True) -> Outcome:
    """kill -9 of all workers of a service, at once; without its gateway a deployment answers nothing meanwhile.

    prepared: whether a standby is ready; else there is none, as when a second worker dies right after the first.
    """
    wrong, standby = [], wait_for_standby(world.deployment)
    if not standby:
        wrong.append("no process stood by")
    with world.load() as load:
        time.sleep(BEFORE)
        for pid in standby if not prepared else ():
            os.kill(pid, signal.SIGKILL)
        before = workers(world.deployment, service)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        killed = time.time()
        recovery = load.wait(is_whole, 30)
        time.sleep(max(0.0, killed + AFTER - time.time()))
    wrong += _lost(load.answers)
    if not before or before & workers(world.deployment, service):
        wrong.append(f"the workers were {before} before, {workers(world.deployment, service)} are now")
    if any(name in world.status()["refused"] for name in world.expected):
        wrong.append("a generation was refused")
    after = [each for each in load.answers if each.due > killed]
    slowest = max(each.seconds for each in after)
    return judge(
        f"{service.lower()} killed, {'a' if prepared else 'no'} standby",
        load.answers,
        world.expected,
        recovery,
        within=BACK if prepared else None,
        down=service == "Gateway",
        note=f"slowest answer {1e3 * slowest:.0f} ms",
        wrong=wrong,
    )


def one_killed(world: Served, service: str) -> Outcome:
    """kill -9 of one worker, with requests at both doors; world: with TWO_GATEWAYS. It is counted, and replaced."""
    wrong = [] if wait_for_standby(world.deployment) else ["no process stood by"]
    deaths, before = world.metric("tandem_worker_deaths_total"), workers(world.deployment, service)
    with world.load(20) as load, RpcLoad(world.deployment.grpc, USERS, 20) as rpc:
        time.sleep(BEFORE)
        os.kill(min(before), signal.SIGKILL)
        killed = time.time()
        time.sleep(AFTER)
    answers = [*load.answers, *rpc.answers]
    back = _full_again(answers, killed)
    wrong += _lost(answers)
    if len(workers(world.deployment, service)) != len(before):
        wrong.append(f"there are {len(workers(world.deployment, service))} workers, and there were {len(before)}")
    if (counted := world.metric("tandem_worker_deaths_total") - deaths) != 1:
        wrong.append(f"{counted:.0f} deaths were counted")
    wrong += [f"{name} live" for name in _fewer(world)]
    how = f"one of {len(before)} {service.lower()} workers killed" if len(before) > 1 else f"{service.lower()} killed"
    return judge(f"{how}, both doors", answers, world.expected, back, within=BACK, down=True, wrong=wrong)


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


def _idle(pid: int) -> bool:
    """Whether it took no processor time for half a second: it has imported all, and waits."""
    try:
        before = _ticks(pid)
        time.sleep(0.5)
        return _ticks(pid) == before
    except OSError:
        return False


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def command(pid: int) -> bytes:
    """The command line of a process, empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
