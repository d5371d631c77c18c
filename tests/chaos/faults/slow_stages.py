"""Slow stages for chaos tests: retrieval, ranking or Redis answers 200 ms late; the service must keep its deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.judged_load.outcome import Limits, Outcome, judge, missing_stages
from tests.judged_load.served_pair import GenerationPair, ServedPair
from tests.servers.store_proxy import StoreProxy

BRAKES = Path(__file__).parent / "brakes"
"""On the PYTHONPATH of a service it slows stages."""

DELAY_SECONDS = 0.2
DEADLINE_SECONDS = 0.5
"""As in slo.toml."""

SLACK_SECONDS = 0.010
"""Limit beyond the deadline, on a machine without other work."""

RECOVERY_SECONDS = 5.0
"""From the end of the fault to the first whole answer, at most."""


@contextmanager
def slowable(pair: GenerationPair, folder: Path) -> Iterator[tuple[ServedPair, StoreProxy, Path]]:
    """A deployment behind a StoreProxy. Its models read their delays from the files of the returned folder."""
    brakes = folder / "brakes"
    brakes.mkdir(parents=True)
    with StoreProxy() as proxy:
        world = ServedPair(folder, pair, REDIS_URL=proxy.url, PYTHONPATH=str(BRAKES), TANDEM_BRAKES=str(brakes))
        proxy.target = lambda: world.server.url
        with world:
            yield world, proxy, brakes


def all_slow(pair: GenerationPair, folder: Path) -> Iterator[Outcome]:
    """Retrieval, ranking and the store, one after the other."""
    with slowable(pair, folder) as (world, proxy, brakes):
        for name in ("retrieval", "ranking"):
            file = brakes / name
            yield _slow(world, name, partial(file.write_text, str(DELAY_SECONDS)), file.unlink)
        yield _slow(
            world, "store", partial(setattr, proxy, "delay", DELAY_SECONDS), partial(setattr, proxy, "delay", 0)
        )


def _slow(world: ServedPair, name: str, begin: Callable[[], object], end: Callable[[], object]) -> Outcome:
    with world.load() as load:
        time.sleep(2)
        begin()
        time.sleep(6)
        end()
        recovery = load.wait(lambda answer: answer.whole, 30)
        time.sleep(1)
    wrong = missing_stages(load.answers, name)
    slowest = max(answer.seconds for answer in load.answers)
    if slowest > DEADLINE_SECONDS + SLACK_SECONDS:
        wrong.append(f"the slowest answer took {1e3 * slowest:.0f} ms")
    world.settle()
    fault, note = f"{name} slowed by {1e3 * DELAY_SECONDS:.0f} ms", f"slowest answer {1e3 * slowest:.0f} ms"
    limits = Limits(recovery_s=RECOVERY_SECONDS)
    return judge(fault, load.answers, world.expected, limits, recovery=recovery, note=note, wrong=wrong)
