"""Rows that no gateway sends: retrieval and ranking answer them or refuse them, and go on."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from recsys.generation.manifest import GenerationFolder
from service.backends import wire
from tests.fakes.in_process import InProcessService

ROOT = Path(__file__).resolve().parents[4]
SEEDS = 4


def apis(folder):
    service = InProcessService(folder)
    retrieval, ranking = service.retrieval, service.ranking
    return {
        "retrieve": (retrieval.retrieve, wire.RETRIEVE),
        "complete": (retrieval.complete, wire.RANK),
        "place": (retrieval.place, wire.PLACE),
        "similar": (retrieval.similar, wire.SIMILAR),
        "rank": (ranking.rank, wire.RANK),
        "explain": (ranking.explain, wire.FEATURES_OF),
        "features": (ranking.features, wire.FEATURES_OF),
    }


def hostile(dtype, random, kind):
    """Three records: of noise, of noise with rows near the number of items, or of the ends of every range."""
    table = random.integers(0, 256, (3, dtype.itemsize), dtype=np.uint8).view(dtype)[:, 0].copy()
    table["due"], table["generation"] = time.time() + 60, b"tiny"
    for name in dtype.names:
        if dtype[name].base == np.int32 and kind != "noise":
            ends = [-(2**31), 2**31 - 1, -2, -1, 0, 10**6] if kind == "ends" else range(-4, 60)
            table[name] = random.choice(list(ends), table[name].shape)
    return table


def main(folder):
    """Call all APIs over a generation, in a process that may die of a row."""
    for name, (call, dtype) in apis(GenerationFolder(Path(folder))).items():
        for seed in range(SEEDS):
            for kind in ("noise", "near", "ends"):
                print(f"{name} {seed} {kind}", flush=True)  # noqa: T201  # the parent shows the last line
                call(wire.as_bytes(hostile(dtype, np.random.default_rng(seed), kind)))
    print("survived")  # noqa: T201


def test_no_row_ends_a_worker(tiny_world):
    """Compiled loops index by numbers of a row, such as items that do not exist, and any byte as a type."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.service.backends.test_hostile_rows", str(tiny_world[0].path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout.splitlines()[-1:]
    assert done.stdout.splitlines()[-1] == "survived"


if __name__ == "__main__":
    main(sys.argv[1])
