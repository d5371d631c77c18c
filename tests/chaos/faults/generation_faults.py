"""Faults of generations (sets of trained models) for chaos tests: swaps under load, damaged parts, wrong contents.

The service must refuse a bad generation and never mix two in one answer.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from recsys.generation.manifest import TOWERS, GenerationFolder, is_user_part
from tests.judged_load.http_load import p99
from tests.judged_load.outcome import NO_EFFECT, Outcome, judge
from tests.judged_load.served_pair import ServedPair
from tests.sample_data.altered_generation import altered


def swaps(world: ServedPair, times: int = 20, slower: float | None = None) -> Outcome:
    """Promote and roll back in turn, each as soon as answers name the generation before.

    slower: limit of p99 in the second after a swap, as a multiple of p99 before; only for a machine without other work.
    """
    first, second = world.pair.first.manifest.id, world.pair.second.manifest.id
    world.put(world.pair.second)
    swapped: list[float] = []
    with world.load() as load:
        time.sleep(5)
        steady_until = time.time()
        for number in range(times):
            swapped.append(time.time())
            wanted = (second, first)[number % 2]
            if number % 2:
                world.store.rollback()
            else:
                world.store.promote(second)
            load.wait(lambda answer, wanted=wanted: not answer.failed and answer.generation == wanted, 10)
            time.sleep(0.5)
    during = [each for each in load.answers if any(0 <= each.due - at < 1 for at in swapped)]
    steady = [each for each in load.answers if each.due < steady_until]
    seen = {each.generation for each in load.answers} - {None}
    wrong = [] if seen == {first, second} else [f"answers came from {seen}"]
    if slower and p99(during) > slower * p99(steady):
        wrong.append(f"p99 during a swap was {p99(during) / p99(steady):.1f} times p99 before, the limit is {slower}")
    world.settle()
    note = f"p99 {1e3 * p99(during):.0f} ms during, {1e3 * p99(steady):.0f} ms before"
    fault = f"{times} promotes and rollbacks"
    return judge(fault, load.answers, world.expected, NO_EFFECT, note=note, wrong=wrong)


def damaged_parts(world: ServedPair, parts: tuple[str, ...] | None = None) -> Iterator[Outcome]:
    """Flip one bit of each part in the store before the generation goes live. parts: all by default."""
    good = world.pair.second
    for name in parts or [name for name in good.manifest.parts if not is_user_part(name)]:
        bad = altered(good, world.folder / f"flip-{name}")
        yield _refused(world, f"{name}: a flipped bit", bad, lambda key: _flip(world, key), name)


def spoiled_chunks(world: ServedPair, name: str = "embeddings.npy") -> Iterator[Outcome]:
    """Delete a chunk, truncate it, or replace it by a chunk of another generation."""
    other = (world.pair.first.path / name).read_bytes()
    with world.server.client() as client:
        for state, spoil in {
            "missing": client.delete,
            "truncated": lambda key: client.set(key, client.get(key)[:-7]),
            "that of another generation": lambda key: client.set(key, other),
        }.items():
            bad = altered(world.pair.second, world.folder / f"chunk-{state.split()[0]}")
            yield _refused(world, f"{name}: its chunk {state}", bad, spoil, name)


def senseless_generations(world: ServedPair) -> Iterator[Outcome]:
    """Generations with right hashes and wrong contents."""
    first = world.pair.first.path

    def array(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
        np.save(path / "embeddings.npy", change(np.load(path / "embeddings.npy")))

    def nan(table: np.ndarray) -> np.ndarray:
        table[3] = np.nan
        return table

    for content, change in {
        "NaN rows": lambda path: array(path, nan),
        "wrong dims": lambda path: array(path, lambda table: table[:, :-1]),
        "a pickle in a part": lambda path: np.save(path / "embeddings.npy", np.array([{}], object), allow_pickle=True),
        "towers of another generation": lambda path: shutil.copy(first / TOWERS, path / TOWERS),
        "embeddings of another generation": lambda path: shutil.copy(first / "embeddings.npy", path / "embeddings.npy"),
    }.items():
        bad = altered(world.pair.second, world.folder / f"bad-{content.replace(' ', '-')}", change)
        yield _refused(world, content, bad)


def _refused(
    world: ServedPair, name: str, bad: GenerationFolder, spoil: Callable[[str], object] | None = None, part: str = ""
) -> Outcome:
    """Promote a bad generation: every process refuses it, and the old one is served."""
    generation, counted, wrong = bad.manifest.id, world.metric("tandem_generation_refused_total"), []
    world.put(bad)
    if spoil:
        spoil(f"gen:{generation}:part:{part}:0")
    with world.load() as load:
        time.sleep(0.3)
        world.store.promote(generation)
        if world.wait_for(lambda status: generation in status["refused"]) is None:
            wrong.append("no process refused it")
        status = world.status()
        time.sleep(0.3)
        if world.metric("tandem_generation_refused_total") <= counted:
            wrong.append("no metric counts the refusal")
    world.settle()
    shutil.rmtree(bad.path)
    note = status["refused"].get(generation, "")[:160]
    return judge(f"refused: {name}", load.answers, world.expected, NO_EFFECT, note=note, wrong=wrong)


def _flip(world: ServedPair, key: str) -> None:
    with world.server.client() as client:
        data = bytearray(client.get(key))
        data[len(data) // 2] ^= 1
        client.set(key, bytes(data))
