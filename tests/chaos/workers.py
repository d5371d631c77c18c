"""Workers of a deployment that are killed under load: how long until answers lack nothing again."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.chaos.faults import is_whole
from tests.chaos.outcome import Outcome, judge
from tests.chaos.served import Served
from tests.deployment import Deployment, descendants

BACK = 5.0
"""Seconds from the kill to the first whole answer, at most (issue 5)."""

SERVICES = ("Retrieval", "Ranking", "Gateway")


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
        time.sleep(1)
        for pid in standby if not prepared else ():
            os.kill(pid, signal.SIGKILL)
        before = workers(world.deployment, service)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        killed = time.time()
        recovery = load.wait(is_whole, 30)
        time.sleep(2)
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
