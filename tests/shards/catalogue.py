"""A pair of untrained generations of a large generated catalogue, and the users of whom they have records."""

from __future__ import annotations

import shutil
from pathlib import Path

from recsys.generation.manifest import GenerationFolder
from tests.judged_load.expected_slates import ExpectedSlates
from tests.judged_load.served_pair import GenerationPair
from training.data import dataset
from training.data.generated_log import Shape, generate
from training.data.interaction_log import encode
from training.untrained_generation import some_users, untrained

EVENTS_AN_ITEM = 5
"""Enough for neighbours of most items."""


def made_pair(folder: Path, items: int, users: int) -> tuple[GenerationPair, list[int | str]]:
    """Two generations, which differ in their towers, made if `folder` has none of this size; and so many users."""
    made, unfinished = folder / f"{items}-items-{users}-users", folder / "unfinished"
    if not made.exists():
        shutil.rmtree(unfinished, ignore_errors=True)  # of a killed run
        log = encode(dataset.read(generate(Shape(EVENTS_AN_ITEM * items, items), unfinished / "data")))
        known = some_users(log, max(1, len(log.user_ids) // users))
        for seed in (0, 1):
            untrained(unfinished / "generations", log, known, seed)
        unfinished.rename(made)
    first, second = (GenerationFolder(path) for path in sorted((made / "generations").iterdir()))
    ids, _ = first.users()
    return GenerationPair(first, second, {}), [ids[row] for row in range(min(users, len(ids)))]


def expect_slates(pair: GenerationPair) -> None:
    """Load both generations to compute their slates: a gigabyte, which the deployments of the first checks need."""
    for each in (pair.first, pair.second):
        pair.expected[each.manifest.id] = ExpectedSlates(each)
