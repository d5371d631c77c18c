"""`python -m flows pin`: the model of the next bento, also after a killed command left an incomplete model."""

import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from flows.operate import pinning
from recsys.environment import Environment
from recsys.generation.manifest import GenerationFolder, is_user_part
from training.untrained_generation import random_generation


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with the folders of two generations."""
    home = tmp_path_factory.mktemp("home")
    for generation in ("g1", "g2"):
        random_generation(home / "generations", generation, 60, 8, 20)
    return home


@pytest.fixture(scope="module")
def pin(home):
    """Pin a generation in another process: BentoML reads its home once in a process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        yield lambda generation: process.submit(pinning.pin, generation, Environment(home, None)).result()


HALVES = {
    "no model": lambda models: (models / "g1" / "model.yaml").write_text(""),
    "half a part": lambda models: os.truncate(models / "g1" / "embeddings.npy", 100),
    "no latest model": lambda models: (models / "latest").write_text("g-gone"),
}
"""What a kill leaves of a model."""


@pytest.mark.parametrize("damage", HALVES.values(), ids=HALVES)
def test_a_killed_command_is_repaired_and_blocks_no_other(damage, pin, home):
    """Another generation is pinned beside an incomplete one, and that one again, without the records of users."""
    models = home / "bentoml" / "models" / "tandem"
    assert pin("g1") == "tandem:g1"
    damage(models)
    for generation in ("g2", "g1"):
        assert pin(generation) == f"tandem:{generation}"
        assert json.loads((home / "bentoml" / "pinned.json").read_text()) == {"model": f"tandem:{generation}"}
        made = GenerationFolder(home / "generations" / generation).manifest
        assert GenerationFolder(models / generation).verify() == made
        assert not any(is_user_part(path.name) for path in (models / generation).iterdir())
