"""What a network can do to a deployment on several hosts, one function a fault, judged by what came back."""

from __future__ import annotations

import time
from collections.abc import Callable

from loadtests.slo import Slo
from tests.chaos.faults import is_whole
from tests.chaos.load import Answer
from tests.chaos.outcome import Outcome, judge
from tests.network.deployment import HostLoad, Spread

STAGE = {"redis": "store", "retrieval": "retrieval", "ranking": "ranking"}
"""What an answer says that had to do without a host."""

CUT_SECONDS = 6.0
HEALED_SECONDS = 5.0
"""From the link's return to the first whole answer, at most."""

LATE_SECONDS = 0.5
"""Beyond the deadline, at most: the load shares the cores with what it asks."""

CHANCE = 0.02
"""Of answers that may do without something else, where a core was somebody else's for a moment."""

LAG_SECONDS = 0.3
"""A load that was late by more sent a burst afterwards, at which some are told to come back: it measured nothing."""

TRIES = 3


def measured(world: Spread, fault: Callable[..., Outcome], *details: str) -> Outcome:
    """A fault's outcome; done again where it did not hold under a load that was late itself."""
    for _ in range(TRIES):
        outcome = fault(world, *details)
        if outcome.passed or world.lag <= LAG_SECONDS:
            break
    return outcome


def whole(world: Spread, seconds: float = 3.0) -> Outcome:
    """One request path over all hosts, with nothing cut."""
    with world.load() as load:
        time.sleep(seconds)
    return judge("nothing: all hosts are there", load.answers, world.expected, None, whole=True, note=_slowest(load))


def cut(world: Spread, host: str, how: str = "cut", seconds: float = CUT_SECONDS) -> Outcome:
    """A host is away for a while; `how` is the method of `Hosts` that makes it so."""
    with world.load() as load:
        time.sleep(1.0)
        since = time.time()
        getattr(world.hosts, how)(host)
        time.sleep(seconds)
        until = time.time()
        world.hosts.heal(host)
        recovery = load.wait(is_whole, 30)
        time.sleep(1.0)
    words = {"cut": f"{host} cut off for {seconds:.0f} s, its packets lost", "unplug": f"{host} unplugged, link down"}
    during = [answer for answer in load.answers if since + 1.0 < answer.due < until - 1.0]  # later ones may be healed
    wrong = _amiss(during, load, {STAGE[host]})
    return judge(
        words[how],
        load.answers,
        world.expected,
        recovery,
        within=HEALED_SECONDS,
        note=_slowest(load),
        wrong=wrong,
    )


def promoted_while_cut(world: Spread, host: str = "ranking", seconds: float = CUT_SECONDS) -> Outcome:
    """A generation goes live while a host can't have it: nobody moves before all can, then all do."""
    first, second = world.pair.first.manifest.id, world.pair.second.manifest.id
    world.put(world.pair.second)
    with world.load() as load:
        world.hosts.cut(host)
        world.with_store(lambda store: store.promote(second))
        time.sleep(seconds)
        early = {answer.body["generation"] for answer in load.answers if answer.status == 200 and answer.body} - {first}
        world.hosts.heal(host)
        recovery = load.wait(_whole_of(second), 40)
        time.sleep(1.0)
        world.with_store(lambda store: store.rollback())
        back = load.wait(_whole_of(first), 40)
    wrong = _amiss([], load, {STAGE[host]})
    if early:
        wrong.append(f"answers came from {early} while {host} was away")
    if back is None:
        wrong.append("a rollback did not arrive")
    name = f"another generation goes live while {host} is cut off"
    note = f"{_slowest(load)}; rolled back after {back or 0:.1f} s"
    return judge(name, load.answers, world.expected, recovery, within=40, note=note, wrong=wrong)


def _whole_of(generation: str) -> Callable[[Answer], bool]:
    return lambda answer: is_whole(answer) and answer.body is not None and answer.body["generation"] == generation


def _amiss(during: list[Answer], load: HostLoad, allowed: set[str]) -> list[str]:
    """What the answers should not have been, in words."""
    answers, wrong, latest = load.answers, [], Slo.read().deadline_ms / 1000 + LATE_SECONDS + load.lag
    late = [answer for answer in answers if answer.seconds > latest]
    if late:
        wrong.append(f"{len(late)} answers were late, the slowest took {max(each.seconds for each in late):.2f} s")
    silent = [answer for answer in during if set(answer.degraded) != allowed]
    if len(silent) > CHANCE * len(during):
        wrong.append(f"{len(silent)} of {len(during)} answers said {silent[0].degraded} and not {sorted(allowed)}")
    others = [answer for answer in answers if set(answer.degraded) - allowed]
    if len(others) > CHANCE * len(answers):
        wrong.append(f"{len(others)} answers did without something else, the first without {others[0].degraded}")
    return wrong


def _slowest(load: HostLoad) -> str:
    took = max((answer.seconds for answer in load.answers), default=0.0)
    own = f", of which the load itself was late by up to {1e3 * load.lag:.0f} ms" if load.lag > 0.1 else ""
    return f"slowest {1e3 * took:.0f} ms{own}"
