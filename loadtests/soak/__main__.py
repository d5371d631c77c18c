"""Soak test: a long load on a deployment while its models are swapped, to find leaks of memory and file descriptors.

`python -m loadtests.soak [--requests 200000] [--swaps 50] [--rate 400]` (`make soak`) starts a deployment and a store
with two generations (trained sets of models and tables). They are promoted and rolled back in turns, while requests and
clicks are sent. The exit code is 0 if memory and descriptors did not grow and every request was answered. The first
half warms caches and allocators; the second half is judged.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadtests.arrivals import Shape
from loadtests.bench.peers.servers import PeerError, Running, running
from loadtests.bench.world import World, world
from loadtests.options import items, number
from loadtests.processes.usage import Sample, sample
from loadtests.slo import BROKEN, LATE_GENERATOR, RESULTS, ROOT
from loadtests.soak.soak_report import judge, soak_report
from loadtests.soak.swaps import Swaps
from loadtests.tally import Tally
from recsys.errors import TandemError
from recsys.process.parent_death import preexec
from recsys.store.redis.generation_store import RedisGenerationStore
from training.report.page import write

HOME = ROOT / ".tandem" / "soak"
SETTINGS = {"TANDEM_POLL_SECONDS": "0.5", "TANDEM_IMPRESSIONS_PER_SECOND": "20"}
"""Of the deployment: a shorter interval between two looks at the alias, and a log of impressions."""

SAMPLES = 200
"""Samples of a run, at most one in 0.2 s: a reading stops the process for a moment."""

SETTLE_SECONDS = 60.0
SLACK_SECONDS = 45.0
"""Limit of the generator's start and end, beyond the load."""


def soak(options: argparse.Namespace, home: Path) -> tuple[Tally, list[Sample], Swaps, Shape]:
    """Run the load and the swaps."""
    shape = Shape("steady", ((options.requests / options.rate, options.rate),))
    warmup = min(30.0, shape.seconds / 10)
    spacing = shape.seconds / (options.swaps + 1)
    shutil.rmtree(home / f"{options.items}" / "store", ignore_errors=True)
    with (
        world(options.items, home, count=2) as place,
        running("split", place, home / "run", **SETTINGS) as peer,
    ):
        due = [warmup + spacing * (place + 1) for place in range(options.swaps)]
        swaps, samples = Swaps(RedisGenerationStore(place.url), place.generations, peer.url, due), []
        port = int(peer.url.rpartition(":")[2])
        swaps.swap_once(SETTLE_SECONDS)
        _settled(peer, port)
        start = time.monotonic()
        with _load(peer, place, shape, warmup, home / "run") as (generator, result):
            while generator.poll() is None:
                at = time.monotonic() - start
                if at > warmup + shape.seconds + SLACK_SECONDS:
                    raise PeerError("The generator of load did not end when it should have.")
                samples.append(sample(peer.pid, port, at))
                swaps.look(at)
                print(f"\r{at:5.0f} s  {samples[-1].memory:7.0f} MiB  {len(swaps.done)} swaps", end="", flush=True)
                time.sleep(max(0.2, shape.seconds / SAMPLES))
            print()
            if not result.exists():
                raise PeerError(f"the generator of load failed with exit code {generator.returncode}")
        swaps.end()
        samples = [each for each in samples if each.at <= warmup + shape.seconds]
        return Tally.from_json(json.loads(result.read_text(encoding="utf-8"))), samples, swaps, shape


def _settled(peer: Running, port: int) -> None:
    """Wait until memory and descriptors of all processes stay the same."""
    before, calm, end = sample(peer.pid, port, 0.0), 0, time.monotonic() + SETTLE_SECONDS
    while calm < 5 and time.monotonic() < end:
        time.sleep(1)
        now = sample(peer.pid, port, 0.0)
        same = now.processes == before.processes and now.descriptors == before.descriptors
        calm = calm + 1 if same and abs(now.memory - before.memory) < 1 else 0
        before = now


@contextmanager
def _load(
    peer: Running, place: World, shape: Shape, warmup: float, folder: Path
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run the locustfile until the caller is done; its process, and the file of its figures."""
    result, users = folder / "load.json", folder / "users"
    result.unlink(missing_ok=True)
    users.write_text("\n".join(place.users), encoding="utf-8")
    command = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless", "--only-summary"]
    command += ["--users", "1", "--host", peer.url, "--pieces", str(shape), "--warmup", str(warmup), "--figures-only"]
    command += ["--clicks", "--user-file", str(users), "--result", str(result), "--loglevel", "ERROR"]
    with (folder / "locust.log").open("wb") as log:
        generator = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, preexec_fn=preexec())
    try:
        yield generator, result
    finally:
        generator.kill()
        generator.wait()


def main() -> int:
    """Run the command line; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.soak", description=__doc__)
    parser.add_argument("--requests", type=number(int, 1_000, 100_000_000), default=200_000)
    parser.add_argument("--swaps", type=number(int, 1, 10_000), default=50, help="of the generation, evenly spaced")
    parser.add_argument("--rate", type=number(float, 10, 10_000), default=400, help="requests a second")
    parser.add_argument("--items", type=items, default=10_000)
    parser.add_argument("--folder", type=Path, default=HOME, help="for generations, kept, and the store")
    parser.add_argument(
        "--result", type=Path, default=RESULTS / "soak.json", help="where the figures go, the report beside"
    )
    options = parser.parse_args()
    try:
        tally, samples, swaps, shape = soak(options, options.folder)
    except TandemError as error:
        sys.exit(f"tandem: {error}")
    except KeyboardInterrupt:
        return 130
    verdict = judge(tally, options.requests, samples, swaps.missed)
    print(verdict.table("what may grow and what may fail"))
    for complaint in tally.complaints:
        print(complaint)
    spacing = shape.seconds / (options.swaps + 1)
    byline = f"{shape.seconds:.0f} s at {options.rate:g} requests a second, {options.items:,} items"
    byline += f", a swap every {spacing:.1f} s"
    report = soak_report(verdict, tally, samples, swaps.done, shape, byline)
    figures = {"generator_late": tally.generator_late, **verdict.to_json(), "swaps": swaps.done}
    figures |= {"samples": [each.to_json() for each in samples], **tally.to_json()}
    options.result.parent.mkdir(parents=True, exist_ok=True)
    options.result.write_text(json.dumps(figures), encoding="utf-8")
    print(f"\n{report.sentence}\nThe report: {write(report, options.result.with_suffix('.html'))}")
    return LATE_GENERATOR if tally.generator_late else 0 if verdict.held else BROKEN


if __name__ == "__main__":
    sys.exit(main())
