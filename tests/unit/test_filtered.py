"""What a request's filter makes of it, from the door to the slate."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from recsys.history import stack
from recsys.ranker import Ranker
from recsys.retriever import Retriever
from recsys.types import Candidates
from service import wire
from service.schema import Mode
from tests import tiny
from tests.whole_path import World, ids
from training import dataset
from training.export import export
from training.log import encode
from training.recipe import train


@pytest.fixture(scope="module")
def world(tiny_world):
    return World(tiny_world[0])


def test_a_batch_of_all_kinds(world):
    """Filtered queries get the filter's items; the others' rows are the bytes of a batch without filters."""
    seen = []

    async def retrieve(rows):
        seen.append((rows.copy(), world.retrieval.retrieve(rows)))
        return seen[-1][1]

    def ask(*filters):
        queries = [world.query(user=user, now=1.7e9, filter=of) for user, of in zip((4, 5, 6, 7), filters, strict=True)]
        world.run(*queries, retrieve=retrieve)
        return queries, *seen.pop()

    drama, comedy = ({"categories": [name]} for name in ("drama", "comedy"))
    queries, asked, found = ask({}, drama, {}, comedy)
    _, plain_asked, plain_found = ask({}, {}, {}, {})
    assert asked.shape == plain_asked.shape
    for row in (0, 2):
        np.testing.assert_array_equal(found[row], plain_found[row])
    for row, name in ((1, "drama"), (3, "comedy")):
        assert len(ids(queries[row])) == 10
        assert all(item.startswith(name) for item in ids(queries[row]))
        rows = wire.candidates(wire.as_table(found, wire.RETRIEVED)).items[row]
        assert all(world.served.item_id(int(each)).startswith(name) for each in rows[rows >= 0])
        assert "filter" not in queries[row].removed


def test_more_than_a_row_holds(world, monkeypatch):
    """What does not fit on the way to retrieval is filtered after it."""
    monkeypatch.setattr("service.stages.packed", lambda _: np.zeros(64, np.int32))
    query = world.run(world.query(filter={"categories": ["drama"]}))
    assert query.removed["filter"] > 0
    assert len(ids(query)) == 10
    assert all(item.startswith("drama") for item in ids(query))


def test_a_list_is_none_where_the_filter_leaves_too_little_of_it(world):
    """In every mode; what is left is then computed, and where the list has enough it stands."""
    for mode in (Mode.BATCH, Mode.HYBRID):
        listed = world.run(world.query(user=4, mode=mode))
        assert listed.made_by == mode
        names = [world.served.item_id(int(row)) for row in listed.record.candidates]
        for name in tiny.CATEGORIES:
            had = {world.served.tables.ids[int(row)] for row in listed.seen}
            left = sum(item.startswith(name) and item not in had for item in names)
            for k in {max(left, 1), left + 1}:
                query = world.run(world.query(user=4, mode=mode, k=k, filter={"categories": [name]}))
                assert query.made_by == (mode if k <= left else Mode.REALTIME)
                assert all(item.startswith(name) for item in ids(query))
                free = sum(item.startswith(name) and item not in had for item in world.served.tables.ids)
                assert len(ids(query)) == min(k, free)


def test_a_filter_that_leaves_nothing(world):
    """An empty slate, and no stage is said to have failed."""
    query = world.run(world.query(filter={"categories": ["opera"]}))
    assert (ids(query), query.degraded) == ([], [])


def test_likest_items_are_the_filter_s(world):
    """All of them are found by retrieval, none by popularity."""
    row = world.served.row_of("comedy-3")
    query = world.similar(world.query(k=20, filter={"categories": ["drama"]}), row)
    assert len(ids(query)) == 20
    assert all(item.startswith("drama") for item in ids(query))
    assert "filter" not in query.removed
    assert not np.isnan(query.tower).any()


RARE, COMMON = 20, 1_980
"""Items of a category that is 1 % of the catalogue, and of the others."""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A world of 2,000 items, 20 of them rare ones that hardly anybody took, and its folder."""
    folder, rng = tmp_path_factory.mktemp("large"), np.random.default_rng(0)
    tiny.write(folder / "data")
    names = [f"rare-{number}" for number in range(RARE)] + [f"common-{number}" for number in range(COMMON)]
    with (folder / "data" / "items.csv").open("w", newline="") as file:
        rows = ((name, name, name.partition("-")[0], 1990 + at % 30) for at, name in enumerate(names))
        csv.writer(file).writerows([("item_id", "title", "genre", "year"), *rows])
    with (folder / "data" / "interactions.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(("user_id", "item_id", "timestamp", "device"))
        for user in range(tiny.USERS):
            for step in range(12):
                item = names[min(int(rng.exponential(400)) + RARE, len(names) - 1)]
                item = f"rare-{user % RARE}" if not step and not user % 8 else item
                out.writerow((user, item, 1.6e9 + 86_400 * step + user, tiny.DEVICES[user % 2]))
    log = encode(dataset.read(folder / "data"))
    config = replace(tiny.CONFIG, tower=replace(tiny.CONFIG.tower, epochs=2))
    made = export(folder / "generations", log, train(log, config), config, "large")
    return World(made), made


def test_a_filter_that_keeps_one_item_in_a_hundred(large):
    """A whole slate: the ranker's order of all of them that the user has not had, however far down they are."""
    world, folder = large
    tables, retriever, ranker = folder.tables(), Retriever.load(folder), Ranker.load(folder)
    rare = np.array([row for row in range(len(tables)) if tables.ids[row].startswith("rare")], np.int32)
    assert len(rare) == RARE == len(tables) // 100
    for user in range(0, 40, 4):
        plain = world.run(world.query(user=user, k=15, now=1.7e9))
        query = world.run(world.query(user=user, k=15, now=1.7e9, filter={"categories": ["rare"]}))
        assert (query.made_by, query.degraded, query.removed) == (Mode.REALTIME, [], {})
        left = rare[~np.isin(rare, query.seen)]
        assert np.isin(plain.candidates.items, left).sum() < len(left)  # else it would prove nothing
        past = stack([query.history], [query.now], [query.context])
        scores = retriever.tower_scores(retriever._encoder.encode(past), left[None])[0]
        order = np.lexsort((left, -scores))
        assert query.candidates.items.tolist() == left[order].tolist()
        brute = Candidates(left[order][None], scores[order][None], query.candidates.sources[None])
        ranked = ranker.score(past, brute)[0]
        best = np.argsort(-ranked, kind="stable")[:15]
        assert query.items.tolist() == left[order][best].tolist()
        np.testing.assert_array_equal(query.scores, ranked[best])
