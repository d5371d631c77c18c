"""The deployment beside what one would write instead: the same slates from the same generation, in turns.

`python -m loadtests.bench [--peers split,fastapi_monolith] [--rates 400,800] [--passes 3]` (`make bench`). Before
anything is timed every peer's slates are compared with the first one's. In a pass every peer is started, loaded at
each rate and stopped before the next, with a seed of its own; the ratio of two peers is of one pass. CPU is what the
server's processes used, all of them, without the store and the generator.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np

from loadtests.kernels import size
from loadtests.peers.servers import PEERS, PeerError, Running, running
from loadtests.slo import RESULTS, ROOT
from loadtests.tally import ANSWERED, Outcome, Tally
from loadtests.world import World, world
from recsys.errors import TandemError

HOME = ROOT / ".tandem" / "bench"
K = 20
COMPARED = 40
"""Users whose slates are compared before anything is timed."""

CLOSE = 2e-3
"""Scores of two peers differ by less; items closer than that to the last one may stand in one slate and not another."""

NEAR = 0.02


@dataclass(frozen=True)
class Point:
    """One peer at one rate in one pass."""

    peer: str
    rate: float
    number: int
    tally: Tally
    late: bool

    @property
    def cpu_ms(self) -> float:
        """Of the server, a request that it answered."""
        return 1e3 * self.tally.cpu_seconds / max(self.tally.count(*ANSWERED), 1)

    def percentile(self, share: float) -> float:
        """Milliseconds from the moment a request was due."""
        return self.tally.of(*ANSWERED).percentile(share)

    @property
    def answered(self) -> float:
        """Share of the requests that got a whole slate."""
        return self.tally.share(Outcome.WHOLE)


def slates(peer: Running, users: Sequence[str]) -> list[list[tuple[str, float]]]:
    """What a peer answers: ids and scores."""
    found = []
    with httpx.Client(base_url=peer.url, timeout=30) as client:
        for user in users:
            answer = client.post("/recommend", json={"user_id": user, "k": K})
            answer.raise_for_status()
            body = answer.json()
            if body["degraded"]:
                raise PeerError(f"{peer.url} answers without {', '.join(body['degraded'])}.")
            found.append([(item["item_id"], item["score"]) for item in body["items"]])
    return found


def compare(expected: list[list[tuple[str, float]]], told: list[list[tuple[str, float]]], name: str) -> None:
    """PeerError where two peers do not answer alike."""
    for ours, theirs in zip(expected, told, strict=True):
        if len(ours) != K or len(theirs) != K:
            raise PeerError(f"{name} gave {len(theirs)} items, the first peer {len(ours)}, and {K} were asked for.")
        if not np.allclose([score for _, score in theirs], [score for _, score in ours], rtol=0, atol=CLOSE):
            raise PeerError(f"{name} gives other scores than the first peer: {theirs} and {ours}.")
        sure = {item for item, score in ours if score > ours[-1][1] + CLOSE}
        if not sure <= {item for item, _ in theirs}:
            raise PeerError(f"{name} gives other items than the first peer: {theirs} and {ours}.")


def load(peer: Running, rate: float, seconds: float, seed: int, users: Path) -> tuple[Tally, bool]:
    """One run of the open loop, and whether the generator itself was late."""
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "load.json"
        command = [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--headless", "--only-summary"]
        command += ["--users", "1", "--host", peer.url, "--rate", str(rate), "--seconds", str(seconds)]
        command += ["--seed", str(seed), "--k", str(K), "--user-file", str(users), "--click-share", "0"]
        command += ["--pid", str(peer.pid), "--result", str(result), "--loglevel", "ERROR"]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if not result.exists():
            raise PeerError(f"the generator of load failed: {ended.stderr[-1000:]}")
        told = json.loads(result.read_text(encoding="utf-8"))
    return Tally.from_json(told), told["generator_late"]


def measured(place: World, peers: Sequence[str], rates: Sequence[float], passes: int, seconds: float) -> list[Point]:
    """Every peer at every rate, so many times."""
    points, rng = [], np.random.default_rng(0)
    asked = rng.choice(place.users, COMPARED, replace=False).tolist()
    expected: list[list[tuple[str, float]]] | None = None
    with tempfile.TemporaryDirectory() as scratch:
        users = Path(scratch) / "users"
        users.write_text("\n".join(rng.permutation(place.users)), encoding="utf-8")
        for number in range(passes):
            for name in peers:
                with running(name, place, HOME / "peers" / name) as peer:
                    told = slates(peer, asked)
                    expected = expected or told
                    compare(expected, told, name)
                    for rate in rates:
                        tally, late = load(peer, rate, seconds, 100 * number + int(rate), users)
                        points.append(Point(name, rate, number, tally, late))
                        print(line(points[-1]), flush=True)
    return points


def line(point: Point) -> str:
    """For a person who waits."""
    times = f"p50 {point.percentile(0.5):7.1f} ms  p99 {point.percentile(0.99):7.1f} ms"
    late = "  (the generator was late)" if point.late else ""
    return (
        f"{point.number + 1}  {point.peer:22}{point.rate:6.0f}/s  {point.cpu_ms:6.2f} ms CPU  {times}"
        f"  whole {point.answered:7.2%}{late}"
    )


def table(points: list[Point], peers: Sequence[str], rates: Sequence[float]) -> str:
    """CPU of each peer at each rate, least and most of the passes, and how many times the first peer's it is."""
    lines = [f"{'CPU ms a request, and x of ' + peers[0]:30}" + "".join(f"{rate:>26.0f}/s" for rate in rates)]
    for name in peers:
        cells = []
        for rate in rates:
            mine = {point.number: point for point in points if point.peer == name and point.rate == rate}
            first = {point.number: point for point in points if point.peer == peers[0] and point.rate == rate}
            sound = [n for n in mine if mine[n].answered > 1 - NEAR and first[n].answered > 1 - NEAR]
            if not sound:
                cells.append(f"{'did not hold':>28}")
                continue
            costs = [mine[n].cpu_ms for n in sound]
            ratios = [mine[n].cpu_ms / first[n].cpu_ms for n in sound]
            cells.append(f"{min(costs):8.2f}-{max(costs):.2f} x{min(ratios):.2f}-{max(ratios):.2f}".rjust(28))
        lines.append(f"{name:30}" + "".join(cells))
    return "\n".join(lines)


def _peers(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in PEERS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(PEERS)}")
    return names


def _rates(text: str) -> list[float]:
    with suppress(ValueError):
        rates = [float(rate) for rate in text.split(",")]
        if all(0 < rate < 1e5 for rate in rates):
            return rates
    raise argparse.ArgumentTypeError(f"{text!r} is not numbers of requests a second, like 100,400")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=__doc__)
    parser.add_argument("--items", type=size, default=100_000)
    parser.add_argument(
        "--peers", type=_peers, default=[*PEERS], help=f"of {', '.join(PEERS)}; ratios are to the first"
    )
    parser.add_argument("--rates", type=_rates, default=[100, 400, 800], help="requests a second")
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15)
    options = parser.parse_args()
    try:
        with world(options.items, HOME) as place:
            points = measured(place, options.peers, options.rates, options.passes, options.seconds)
    except (PeerError, TandemError) as error:
        sys.exit(f"tandem: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
    print(table(points, options.peers, options.rates))
    told = [
        {"peer": p.peer, "rate": p.rate, "pass": p.number, "late": p.late, "cpu_ms": p.cpu_ms, **p.tally.to_json()}
        for p in points
    ]
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "bench.json").write_text(json.dumps({"items": options.items, "points": told}), encoding="utf-8")


if __name__ == "__main__":
    main()
