"""Faults of experiments' arms for chaos tests: a ramp and its rollback, a slow arm, and a refused generation.

The monitor looks each 15 s. It must halt the arm within a minute, and the control must stay fast.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from recsys.experiments import changes
from recsys.experiments.definition import checked
from recsys.store.redis.redis_experiments import RedisExperimentStore
from tests.chaos.faults.slow_stages import BRAKES, DELAY_SECONDS
from tests.judged_load.http_load import Answer, HttpLoad
from tests.judged_load.outcome import Limits, Outcome, judge
from tests.judged_load.ramp_under_load import RampUnderLoad
from tests.judged_load.served_pair import USERS, GenerationPair, ServedPair
from tests.sample_data.altered_generation import altered
from tests.servers.flow_environment import ROOT, flow_environment

RATE, LOOK_SECONDS, HALTED_SECONDS = 100.0, 15, 60.0

RAMPS = (0.0, 0.05, 0.5, 1.0, 0.0)

SLOWER = 1.5
"""The 95th percentile during a ramp, as a multiple of the one before; on a machine without other work."""

LATER_SECONDS = 0.020
"""The control's 95th percentile during the fault of an arm less the one before, on a machine without other work.

While its batches take 200 ms, half of them hold five queries or more. A control's query waits for the CPU of such a
batch: 4 ms on two quiet cores. A query that waited for the arm itself would be up to 200 ms later.
"""


def all_arms(pair: GenerationPair, folder: Path) -> Iterator[Outcome]:
    """A ramp and its rollback, a slow arm, then one whose generation is refused."""
    with ServedPair(folder / "ramp", pair) as world:
        yield ramped(world)
    brakes = folder / "brakes"
    brakes.mkdir(parents=True)
    with (
        ServedPair(folder, pair, PYTHONPATH=str(BRAKES), TANDEM_BRAKES=str(brakes)) as world,
        experiments(world) as store,
        monitored(world, folder),
    ):
        world.put(pair.second)
        second = pair.second.manifest.id
        begin(store, "slow", second)
        with world.load() as load:
            load.wait(lambda answer: _arm(answer, "slow") == "new", 30)
        slow = brakes / "arm"
        yield _halted(world, store, "slow", lambda: slow.write_text(f"{second} {DELAY_SECONDS}"))
        slow.unlink()
        bad = altered(pair.second, folder / "g-bad", _spoil)
        world.put(bad)
        store.change(lambda document: changes.stop(document, "slow", time.time()))
        yield _halted(world, store, "refused", lambda: begin(store, "refused", bad.manifest.id))


def ramped(world: ServedPair) -> Outcome:
    """Ramp an arm with another generation up and back. Each ramp is held against the phase at 0 % before."""
    figures = RampUnderLoad(world).run(RAMPS, seconds=8.0, rate=RATE)
    wrong = [f"{count} answers: {name}" for name in ("wrong_arm", "away") if (count := getattr(figures, name))]
    phases = [*figures.p95_ms.values()]
    steady, slowest = phases[0], max(phases[1:])
    if slowest > SLOWER * steady:
        wrong.append(f"p95 during a ramp was {slowest / steady:.1f} times p95 before")
    note = f"{figures.from_lists} answers from lists; p95 ms: {figures.p95_ms}"
    if figures.failed or figures.mixed:
        wrong.append(f"{figures.failed} requests failed, {figures.mixed} answers were mixed")
    fault = "ramp of an arm to 100 %, and back"
    return Outcome(fault, figures.requests, figures.failed, figures.mixed, figures.degraded, None, note, tuple(wrong))


@contextmanager
def experiments(world: ServedPair) -> Iterator[RedisExperimentStore]:
    """The store of experiments."""
    store = RedisExperimentStore(world.server.url)
    yield store
    store.close()


@contextmanager
def monitored(world: ServedPair, folder: Path) -> Iterator[None]:
    """Run `python -m flows monitor`, which looks each LOOK_SECONDS, beside a deployment."""
    command = ["-m", "flows", "monitor", "--gateway", world.deployment.url, "--every", str(LOOK_SECONDS)]
    environment = flow_environment(folder / "flows", REDIS_URL=world.server.url)
    with (folder / "monitor.log").open("w") as log:
        process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def begin(store: RedisExperimentStore, name: str, generation: str) -> None:
    """Run an experiment whose arm has a generation, for a quarter of the users."""
    definition = checked(
        {"name": name, "arms": {"new": {"share": 0.5, "generation": generation}}, "guardrails": {"p99_ms": 150}}
    )
    store.change(lambda document: changes.create(document, definition, time.time()))
    store.change(lambda document: changes.start(document, name, time.time()))
    store.change(lambda document: changes.ramp(document, name, 0.5, time.time()))


def _halted(world: ServedPair, store: RedisExperimentStore, name: str, begin_fault: Callable[[], object]) -> Outcome:
    with HttpLoad(world.deployment.url, USERS, RATE) as load:
        time.sleep(2 * LOOK_SECONDS + 3)
        begun = time.time()
        begin_fault()
        while not (reason := _reason(store, name)) and time.time() < begun + HALTED_SECONDS + LOOK_SECONDS:
            time.sleep(0.25)
        seconds = time.time() - begun
        time.sleep(5)
    wrong = [] if reason else ["the arm was not halted"]
    if seconds > HALTED_SECONDS:
        wrong.append(f"the arm was halted after {seconds:.0f} s")
    before, during = (_p95(name, load.answers, *span) for span in ((0.0, begun), (begun, begun + seconds)))
    if during > before + LATER_SECONDS:
        wrong.append(f"the control's p95 was {1e3 * (during - before):.0f} ms later than before")
    late = [each for each in load.answers if each.due > begun + seconds + 4 and _arm(each, name) == "new"]
    if late:
        wrong.append(f"{len(late)} answers were of the arm 4 s after its halt")
    note = f"halted after {seconds:.0f} s: {reason} The control's p95: {1e3 * before:.0f}, then {1e3 * during:.0f} ms"
    return judge(f"arm {name}", load.answers, world.expected, Limits(), note=note, wrong=wrong)


def _reason(store: RedisExperimentStore, name: str) -> str:
    found = store.read().experiments.get(name)
    return dict(found.halted).get("new", "") if found else ""


def _arm(answer: Answer, name: str) -> str | None:
    return answer.body["arms"].get(name) if answer.body and answer.status == 200 else None


def _p95(name: str, answers: list[Answer], start: float, end: float) -> float:
    """Of answers that are not of the arm."""
    times = [each.seconds for each in answers if start <= each.due < end and _arm(each, name) != "new"]
    return float(np.percentile(times, 95))


def _spoil(folder: Path) -> None:
    table = np.load(folder / "embeddings.npy")
    table[3] = np.nan
    np.save(folder / "embeddings.npy", table)
