"""What can go wrong while a deployment serves, one function a fault: do it under load, undo it, and judge the answers.

A fault leaves the world as it found it: `pair.first` live, in force and whole.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import httpx
import numpy as np

from recsys.generation.manifest import TOWERS, GenerationFolder, is_user_part
from tests.chaos.load import Answer, p99
from tests.chaos.outcome import Outcome, judge
from tests.chaos.served import Pair, Served, altered, fill, remount, small_disk

T = TypeVar("T")

WHOLE_AGAIN = 2.0
"""Seconds from the end of a fault of the store to the first whole answer, at most."""


def is_whole(answer: Answer) -> bool:
    """A slate that had to do without nothing."""
    return not answer.failed and not answer.degraded


def swaps(world: Served, times: int = 20, slower: float | None = None) -> Outcome:
    """Promotes and rollbacks in turn, each as soon as answers come from the one before.

    slower: how much longer the 99th percentile may be in the second after a move; for quiet machines.
    """
    first, second = world.pair.first.manifest.id, world.pair.second.manifest.id
    world.put(world.pair.second)
    moved: list[float] = []
    with world.load() as load:
        time.sleep(5)
        steady_until = time.time()
        for number in range(times):
            moved.append(time.time())
            wanted = (second, first)[number % 2]
            if number % 2:
                world.store.rollback()
            else:
                world.store.promote(second)
            load.wait(lambda answer, wanted=wanted: not answer.failed and answer.body["generation"] == wanted, 10)
            time.sleep(0.5)
    during = [each for each in load.answers if any(0 <= each.due - at < 1 for at in moved)]
    steady = [each for each in load.answers if each.due < steady_until]
    seen = {each.body["generation"] for each in load.answers if each.body and each.status == 200}
    wrong = [] if seen == {first, second} else [f"answers came from {seen}"]
    if slower and p99(during) > slower * p99(steady):
        wrong.append(f"p99 was {p99(during) / p99(steady):.1f} times as long during a swap, and {slower} were allowed")
    world.settle()
    note = f"p99 {1e3 * p99(during):.0f} ms during, {1e3 * p99(steady):.0f} ms before"
    return judge(
        f"{times} promotes and rollbacks", load.answers, world.expected, None, whole=True, note=note, wrong=wrong
    )


def damaged_parts(world: Served, parts: tuple[str, ...] | None = None) -> Iterator[Outcome]:
    """A bit of each part flips in the store before the generation goes live."""
    good = world.pair.second
    for name in parts or [name for name in good.manifest.parts if not is_user_part(name)]:
        bad = altered(good, world.folder / f"flip-{name}", lambda path: None)
        yield _refused(world, f"{name}: a flipped bit", bad, lambda key: _flip(world, key), name)


def spoiled_chunks(world: Served, name: str = "embeddings.npy") -> Iterator[Outcome]:
    """Other things that may stand where a chunk should."""
    other = (world.pair.first.path / name).read_bytes()
    with world.server.client() as client:
        for what, spoil in {
            "missing": client.delete,
            "truncated": lambda key: client.set(key, client.get(key)[:-7]),
            "that of another generation": lambda key: client.set(key, other),
        }.items():
            bad = altered(world.pair.second, world.folder / f"chunk-{what.split()[0]}", lambda path: None)
            yield _refused(world, f"{name}: its chunk {what}", bad, spoil, name)


def senseless_generations(world: Served) -> Iterator[Outcome]:
    """Generations whose hashes are right, and that make no sense."""
    first = world.pair.first.path

    def array(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
        np.save(path / "embeddings.npy", change(np.load(path / "embeddings.npy")))

    def nan(table: np.ndarray) -> np.ndarray:
        table[3] = np.nan
        return table

    for what, change in {
        "NaN rows": lambda path: array(path, nan),
        "wrong dims": lambda path: array(path, lambda table: table[:, :-1]),
        "a pickle in a part": lambda path: np.save(path / "embeddings.npy", np.array([{}], object), allow_pickle=True),
        "towers of another generation": lambda path: shutil.copy(first / TOWERS, path / TOWERS),
        "embeddings of another generation": lambda path: shutil.copy(first / "embeddings.npy", path / "embeddings.npy"),
    }.items():
        bad = altered(world.pair.second, world.folder / f"bad-{what.replace(' ', '-')}", change)
        yield _refused(world, what, bad)


def _refused(
    world: Served, name: str, bad: GenerationFolder, spoil: Callable[[str], object] | None = None, part: str = ""
) -> Outcome:
    """A generation that can't be served goes live: it is refused, and the one in force serves on."""
    generation, counted, wrong = bad.manifest.id, world.metric("tandem_generation_refused_total"), []
    world.put(bad)
    if spoil:
        spoil(f"gen:{generation}:part:{part}:0")
    with world.load() as load:
        time.sleep(0.3)
        world.store.promote(generation)
        if world.wait_for(lambda status: generation in status["refused"]) is None:
            wrong.append("nobody refused it")
        status = world.status()
        time.sleep(0.3)
        if world.metric("tandem_generation_refused_total") <= counted:
            wrong.append("no metric counts the refusal")
    world.settle()
    shutil.rmtree(bad.path)
    note = status["refused"].get(generation, "")[:160]
    return judge(f"refused: {name}", load.answers, world.expected, None, whole=True, note=note, wrong=wrong)


def _flip(world: Served, key: str) -> None:
    with world.server.client() as client:
        data = bytearray(client.get(key))
        data[len(data) // 2] ^= 1
        client.set(key, bytes(data))


def store_hangs(world: Served, seconds: float = 5.0) -> Outcome:
    """The store answers nothing, and takes connections (SIGSTOP)."""
    return _store_fault(world, f"store hangs for {seconds:.0f} s", world.server.pause, world.server.resume, seconds)


def store_gone(world: Served, seconds: float = 60.0) -> Outcome:
    """The store is killed and comes back with its data."""
    return _store_fault(
        world, f"store gone for {seconds:.0f} s", world.server.kill, lambda: world.server.start(wait=False), seconds
    )


def store_loads(world: Served, mib: int = 400) -> Outcome:
    """The store is killed and comes back so full that it loads for a while, answering -LOADING."""
    with world.server.client() as client:
        for number in range(mib):
            client.set(f"ballast:{number}", np.random.default_rng(number).bytes(1 << 20))

    def back() -> None:
        world.server.start()  # until it has loaded

    try:
        return _store_fault(world, f"store restarts and loads {mib} MiB", world.server.kill, back, 0.2)
    finally:
        with world.server.client() as client:
            client.unlink(*(f"ballast:{number}" for number in range(mib)))


def _store_fault(
    world: Served, name: str, begin: Callable[[], object], end: Callable[[], object], seconds: float
) -> Outcome:
    """Answers go on, say that they lack the store, and are whole soon after it is back."""
    wrong = []
    with world.load() as load:
        time.sleep(1)
        begin()
        began = time.time()
        time.sleep(seconds)
        end()
        recovery = load.wait(is_whole, 30)
        time.sleep(1)
    lacking = [each for each in load.answers if began + 0.5 < each.due < began + seconds - 0.5 and not each.degraded]
    if lacking:
        wrong.append(f"{len(lacking)} answers did not say that the store was away")
    wrong += _lost_more_than_the_store(load.answers)
    world.settle()
    return judge(name, load.answers, world.expected, recovery, within=WHOLE_AGAIN, wrong=wrong)


def _lost_more_than_the_store(answers: list[Answer]) -> list[str]:
    """What else answers had to do without."""
    more = {name for each in answers for name in each.degraded} - {"store"}
    return [f"answers had to do without {', '.join(sorted(more))}"] if more else []


def store_emptied(world: Served) -> Outcome:
    """The store comes back with nothing in it; then somebody publishes again."""
    with world.load() as load:
        time.sleep(1)
        world.server.kill()
        world.server.forget()
        world.server.start()
        said = load.wait(lambda answer: "store" in answer.degraded, 10)
        time.sleep(3)
        kept = [each for each in load.answers[-20:] if "store" not in each.degraded]
        world.put(world.pair.first)
        world.store.promote(world.pair.first.manifest.id)
        recovery = load.wait(is_whole, 30)
    wrong = [] if said is not None and not kept else ["answers did not say that the users' records were gone"]
    wrong += _lost_more_than_the_store(load.answers)
    world.settle()
    return judge(
        "store restarts empty, and is published to",
        load.answers,
        world.expected,
        recovery,
        within=WHOLE_AGAIN,
        wrong=wrong,
    )


def store_full(world: Served) -> Outcome:
    """No write is taken (noeviction): recommendations are whole, an event gets a sentence."""
    event = {"events": [{"user_id": "someone else", "item_id": "action-1"}]}
    with world.server.client() as client, world.load() as load:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")
        time.sleep(2)
        refused = httpx.post(f"{world.deployment.url}/events", json=event, timeout=10)
        client.config_set("maxmemory", "0")
        recovery = load.wait(is_whole, 10)
        taken = httpx.post(f"{world.deployment.url}/events", json=event, timeout=10)
    wrong = [] if refused.status_code == 503 and refused.json()["error"]["code"] == "store" else [refused.text]
    wrong += [] if taken.status_code == 200 else [taken.text]
    world.settle()
    note = refused.json().get("error", {}).get("message", "")
    return judge(
        "store full, noeviction",
        load.answers,
        world.expected,
        recovery,
        whole=True,
        within=WHOLE_AGAIN,
        note=note,
        wrong=wrong,
    )


def store_evicts(world: Served) -> Outcome:
    """The store drops what it likes (allkeys-lru) until nothing of the generation is left; then somebody publishes."""
    with world.server.client() as client, world.load() as load:
        time.sleep(1)
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + (1 << 20))
        generation = world.pair.first.manifest.id
        for number in range(4_000):
            client.set(f"ballast:{number}", bytes(10_000))
            if number % 100 == 0 and not client.exists(f"gen:{generation}:users:0", "alias:live"):
                break
        said = load.wait(lambda answer: "store" in answer.degraded, 10)
        time.sleep(1)
        client.config_set("maxmemory", "0")
        client.flushall()
        world.put(world.pair.first)
        world.store.promote(generation)
        recovery = load.wait(is_whole, 30)
    wrong = [] if said is not None else ["answers did not say that the users' records were gone"]
    wrong += _lost_more_than_the_store(load.answers)
    world.settle()
    return judge("store full, allkeys-lru", load.answers, world.expected, recovery, within=WHOLE_AGAIN, wrong=wrong)


def cache_full(pair: Pair, folder: Path) -> Outcome:
    """The disk of the cache is full when a generation goes live; then there is room, and it is adopted."""
    with small_disk(folder / "home" / "cache", 32) as cache, Served(folder, pair) as world:
        return _disk_fault(
            world, cache, "cache full", lambda: fill(cache), "No space left", lambda ballast: ballast.unlink()
        )


def cache_read_only(pair: Pair, folder: Path) -> Outcome:
    """The disk of the cache is read-only when a generation goes live; then it can be written, and it is adopted."""
    with small_disk(folder / "home" / "cache", 32) as cache, Served(folder, pair) as world:
        return _disk_fault(
            world, cache, "cache read-only", lambda: remount(cache, "ro"), "Read-only", lambda _: remount(cache, "rw")
        )


def _disk_fault(
    world: Served, cache: Path, name: str, begin: Callable[[], T], told: str, end: Callable[[T], object]
) -> Outcome:
    """The next generation is refused with a sentence that names the folder, and adopted once the disk takes it."""
    second, wrong = world.pair.second.manifest.id, []
    world.put(world.pair.second)
    with world.load() as load:
        fault = begin()
        world.store.promote(second)
        world.wait_for(lambda status: second in status["refused"])
        note = world.status()["refused"].get(second, "nobody refused it")
        if told not in note or str(cache) not in note:
            wrong.append(note)
        if world.status()["generation"] != world.pair.first.manifest.id:
            wrong.append("the old one is not in force")
        end(fault)
        took = world.wait_for(lambda status: status["generation"] == second, 60)
        if took is None:
            wrong.append("the next was not adopted when the disk took it")
    return judge(
        name, load.answers, world.expected, took, whole=True, note=note.replace(str(cache), "CACHE"), wrong=wrong
    )
