"""Network faults for tests: cuts hosts of the service off while requests are sent, and judges the answers."""

from __future__ import annotations

import time
from collections.abc import Callable

from loadtests.slo import Slo
from tests.judged_load.http_load import Answer
from tests.judged_load.outcome import NO_EFFECT, Limits, Outcome, judge
from tests.network.deployment import HostLoad, SpreadDeployment

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

LAG_SECONDS = 0.3
"""A load that was later than this sent a burst afterwards, of which some requests were rejected: repeat the fault."""

TRIES = 3


def measured(world: SpreadDeployment, fault: Callable[..., Outcome], *details: str) -> Outcome:
    """Inject a fault; repeat it if it failed under a load that was late itself."""
    for _ in range(TRIES):
        outcome = fault(world, *details)
        if outcome.passed or world.lag <= LAG_SECONDS:
            break
    return outcome


def nothing_cut(world: SpreadDeployment, seconds: float = 3.0) -> Outcome:
    """Send requests through all hosts."""
    with world.load() as load:
        time.sleep(seconds)
    return judge("nothing: all hosts are there", load.answers, world.expected, NO_EFFECT, note=_slowest(load))


def cut(world: SpreadDeployment, host: str, how: str = "cut", seconds: float = CUT_SECONDS) -> Outcome:
    """Cut a host off while requests are sent. how: "cut" loses its packets, "unplug" takes its link down."""
    with world.load() as load:
        time.sleep(1.0)
        since = time.time()
        getattr(world.hosts, how)(host)
        time.sleep(seconds)
        until = time.time()
        world.hosts.heal(host)
        recovery = load.wait(lambda answer: answer.whole, 30)
        time.sleep(1.0)
    names = {"cut": f"{host} cut off for {seconds:.0f} s, its packets lost", "unplug": f"{host} unplugged, link down"}
    during = [answer for answer in load.answers if since + 1.0 < answer.due < until - 1.0]  # later ones may be whole
    limits, wrong = Limits(recovery_s=RECOVERY_SECONDS), _broken(during, load, {STAGE[host]})
    note = _slowest(load)
    return judge(names[how], load.answers, world.expected, limits, recovery=recovery, note=note, wrong=wrong)


def promoted_while_cut(world: SpreadDeployment, host: str = "ranking", seconds: float = CUT_SECONDS) -> Outcome:
    """Promote a generation while a host is cut off: no host serves it before all hosts can."""
    first, second = world.pair.first.manifest.id, world.pair.second.manifest.id
    world.put(world.pair.second)
    with world.load() as load:
        world.hosts.cut(host)
        world.with_store(lambda store: store.promote(second))
        time.sleep(seconds)
        early = {answer.generation for answer in load.answers} - {first, None}
        world.hosts.heal(host)
        recovery = load.wait(lambda answer: answer.whole and answer.generation == second, PROMOTION_SECONDS)
        time.sleep(1.0)
        world.with_store(lambda store: store.rollback())
        back = load.wait(lambda answer: answer.whole and answer.generation == first, PROMOTION_SECONDS)
    wrong = _broken([], load, {STAGE[host]})
    if early:
        wrong.append(f"answers came from {early} while {host} was cut off")
    if back is None:
        wrong.append("the rollback had no effect")
    name = f"another generation goes live while {host} is cut off"
    limits, note = Limits(recovery_s=PROMOTION_SECONDS), f"{_slowest(load)}; rolled back after {back or 0:.1f} s"
    return judge(name, load.answers, world.expected, limits, recovery=recovery, note=note, wrong=wrong)


def _broken(during: list[Answer], load: HostLoad, allowed: set[str]) -> list[str]:
    """Sentences on late answers, and on answers that lack other stages than the allowed ones."""
    answers, wrong, latest = load.answers, [], Slo.read().deadline_ms / 1000 + LATE_SECONDS + load.lag
    late = [answer for answer in answers if answer.seconds > latest]
    if late:
        wrong.append(f"{len(late)} answers were late, the slowest took {max(each.seconds for each in late):.2f} s")
    other = [answer for answer in during if set(answer.degraded) != allowed]
    if len(other) > STRAY_SHARE * len(during):
        wrong.append(f"{len(other)} of {len(during)} answers lack {other[0].degraded} and not {sorted(allowed)}")
    more = [answer for answer in answers if set(answer.degraded) - allowed]
    if len(more) > STRAY_SHARE * len(answers):
        wrong.append(f"{len(more)} answers lack other stages, the first {more[0].degraded}")
    return wrong


def _slowest(load: HostLoad) -> str:
    took = max((answer.seconds for answer in load.answers), default=0.0)
    own = f", of which the load itself was late by up to {1e3 * load.lag:.0f} ms" if load.lag > 0.1 else ""
    return f"slowest {1e3 * took:.0f} ms{own}"
