"""Network faults for tests: cuts hosts of the service off while requests are sent, and judges the answers."""

from __future__ import annotations

import time
from collections.abc import Sequence

from loadtests.slo import Slo
from tests.judged_load.http_load import Answer
from tests.judged_load.outcome import NO_EFFECT, Limits, Outcome, judge
from tests.network.deployment import SpreadDeployment

STAGE = {"redis": "store", "retrieval": "retrieval", "ranking": "ranking"}
"""The stage that is degraded without each host."""

CUT_SECONDS = 6.0
RECOVERY_SECONDS = 5.0
"""From the return of the link to the first whole answer, at most."""

PROMOTION_SECONDS = 40.0
"""From the return of the link to the first whole answer of a generation that was promoted meanwhile, at most."""

LATE_SECONDS = 0.5
"""Limit beyond the deadline: the load shares the cores with the deployment."""

STRAY_SHARE = 0.02
"""Limit of the share of answers that lack another stage, because another process had the core."""


def nothing_cut(world: SpreadDeployment) -> Outcome:
    """Send requests through all hosts."""
    with world.load() as load:
        time.sleep(3.0)
    return judge("nothing: all hosts are there", load.answers, world.expected, NO_EFFECT, note=_slowest(load.answers))


def cut(world: SpreadDeployment, host: str, how: str = "cut") -> Outcome:
    """Cut a host off while requests are sent. how: "cut" loses its packets, "unplug" takes its link down."""
    with world.load() as load:
        time.sleep(1.0)
        since = time.time()
        getattr(world.hosts, how)(host)
        time.sleep(CUT_SECONDS)
        until = time.time()
        world.hosts.heal(host)
        recovery = load.wait(lambda answer: answer.whole, 30)
        time.sleep(1.0)
    names = {"cut": f"{host} cut off for {CUT_SECONDS:.0f} s, its packets lost", "unplug": f"{host} unplugged"}
    during = [answer for answer in load.answers if since + 1.0 < answer.due < until - 1.0]  # later ones may be whole
    limits, wrong = Limits(recovery_s=RECOVERY_SECONDS), _broken(load.answers, during, STAGE[host])
    note = _slowest(load.answers)
    return judge(names[how], load.answers, world.expected, limits, recovery=recovery, note=note, wrong=wrong)


def promoted_while_cut(world: SpreadDeployment, host: str = "ranking") -> Outcome:
    """Promote a generation while a host is cut off: no host serves it before all hosts can."""
    first, second = world.pair.first.manifest.id, world.pair.second.manifest.id
    world.put(world.pair.second)
    with world.load() as load:
        world.hosts.cut(host)
        world.with_store(lambda store: store.promote(second))
        time.sleep(CUT_SECONDS)
        early = {answer.generation for answer in load.answers} - {first, None}
        world.hosts.heal(host)
        recovery = load.wait(lambda answer: answer.whole and answer.generation == second, PROMOTION_SECONDS)
        time.sleep(1.0)
        world.with_store(lambda store: store.rollback())
        back = load.wait(lambda answer: answer.whole and answer.generation == first, PROMOTION_SECONDS)
    wrong = _broken(load.answers, [], STAGE[host])
    wrong += [f"answers came from {early} while {host} was cut off"] if early else []
    wrong += ["the rollback had no effect"] if back is None else []
    name = f"another generation goes live while {host} is cut off"
    limits, note = (
        Limits(recovery_s=PROMOTION_SECONDS),
        f"{_slowest(load.answers)}; rolled back after {back or 0:.1f} s",
    )
    return judge(name, load.answers, world.expected, limits, recovery=recovery, note=note, wrong=wrong)


def _broken(answers: Sequence[Answer], during: Sequence[Answer], stage: str) -> list[str]:
    """Sentences on late answers, and on answers that lack another stage. during: those that must lack this stage."""
    wrong, latest = [], Slo.read().deadline_ms / 1000 + LATE_SECONDS
    late = [answer for answer in answers if answer.seconds > latest]
    if late:
        wrong.append(f"{len(late)} answers were late, the slowest took {max(each.seconds for each in late):.2f} s")
    for expected, part in (
        (during, [each for each in during if set(each.degraded) != {stage}]),
        (answers, [each for each in answers if set(each.degraded) - {stage}]),
    ):
        if len(part) > STRAY_SHARE * len(expected):
            wrong.append(f"{len(part)} of {len(expected)} answers lack {part[0].degraded} and not {stage} alone")
    return wrong


def _slowest(answers: Sequence[Answer]) -> str:
    return f"slowest {1e3 * max((answer.seconds for answer in answers), default=0.0):.0f} ms"
