"""Rows that no gateway sends: retrieval and ranking answer them or refuse them, and live on."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from recsys.generation.loader import load_ranker, load_retriever
from service.backends import wire
from service.backends.models import RankingModel, RetrievalModel
from tests.sample_data import tiny

ROOT = Path(__file__).resolve().parents[4]
SEEDS = 4


class Held:
    def __init__(self, model):
        self._model = model

    def get(self, _):
        return self._model


def apis(folder):
    retrieval, ranking = RetrievalModel(Held(load_retriever(folder))), RankingModel(Held(load_ranker(folder)))
    return {
        "retrieve": (retrieval.retrieve, wire.RETRIEVE),
        "complete": (retrieval.complete, wire.RANK),
        "place": (retrieval.place, wire.PLACE),
        "similar": (retrieval.similar, wire.SIMILAR),
        "rank": (ranking.rank, wire.RANK),
        "explain": (ranking.explain, wire.EXPLAIN),
        "features": (ranking.features, wire.FEATURES_OF),
    }


def hostile(dtype, random, kind):
    """Three records of a kind: noise, noise but for what is near the items there are, or the ends of every range."""
    table = random.integers(0, 256, (3, dtype.itemsize), dtype=np.uint8).view(dtype)[:, 0].copy()
    table["due"], table["generation"] = time.time() + 60, b"tiny"
    for name in dtype.names:
        if dtype[name].base == np.int32 and kind != "noise":
            ends = [-(2**31), 2**31 - 1, -2, -1, 0, 10**6] if kind == "ends" else range(-4, 60)
            table[name] = random.choice(list(ends), table[name].shape)
    return table


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main():
    """Ask all of them, in a process that may die of it."""
    with tempfile.TemporaryDirectory() as place:
        folder, _ = tiny.generation(Path(place))
        for name, (call, dtype) in apis(folder).items():
            for seed in range(SEEDS):
                for kind in ("noise", "near", "ends"):
                    say(f"{name} {seed} {kind}")
                    call(wire.as_bytes(hostile(dtype, np.random.default_rng(seed), kind)))
    say("lived")


def test_no_row_ends_a_worker():
    """Compiled loops index by what a row says: numbers of items that there are not, and any byte for a type."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.service.backends.test_hostile_rows"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout.splitlines()[-1:]
    assert done.stdout.splitlines()[-1] == "lived"


if __name__ == "__main__":
    main()
