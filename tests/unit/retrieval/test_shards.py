"""Retrieval in shards: the merged answers of the shards are those of retrieval in all items, to the last bit."""

import asyncio
import time

import numpy as np
import pytest
from pydantic import TypeAdapter

from recsys.errors import StageError
from recsys.filters.compiled_conditions import matches, packed
from recsys.filters.conditions import Condition
from recsys.generation.loader import load_retriever
from recsys.generation.shard import Shard
from recsys.types import PAD
from service.backends import wire
from service.backends.models import RetrievalModel
from service.recommend.circuit_breaker import REST_SECONDS
from service.recommend.sharded_retrieval import ShardedRetrieval
from tests.fakes.in_process import Held
from tests.sample_data.put_items import hide, item, putting
from training.data import dataset
from training.data.generated_log import Shape, generate
from training.data.interaction_log import encode
from training.untrained_generation import untrained

ITEMS, QUERIES = 3_000, 48
filters = TypeAdapter(dict[str, Condition]).validate_python
PUTS = putting(
    *(item(f"new-{n}", n + 1, f"category {n % 50}", available=n % 7 > 0) for n in range(90)),
    *(hide(f"item-{n}", 1_000 + n) for n in range(0, ITEMS, 13)),
)


class Shards:
    """A retriever of all items and those of some shards, behind the calls of the gateway."""

    def __init__(self, folder, log, count):
        self.log, self.folder = log, folder
        self.whole = RetrievalModel(Held(load_retriever(folder)), lambda: PUTS)
        held = [load_retriever(folder, Shard(number, count)) for number in range(1, count + 1)]
        self.models = [RetrievalModel(Held(each), lambda: PUTS) for each in held]
        self.away = set()

    def call(self, number):
        async def call(api, rows):
            if number in self.away:
                raise ConnectionError("away")
            return getattr(self.models[number - 1], api)(rows.copy())

        return call

    def ask(self, api, rows, order=None):
        calls = [self.call(number) for number in order or range(1, len(self.models) + 1)]
        return asyncio.run(getattr(ShardedRetrieval(calls), api)(rows))

    def rows(self, dtype, **fields):
        """Queries of random users, some of whom had items that were put."""
        rng, now = np.random.default_rng(5), float(self.log.times.max())
        past = self.log.final_histories(rng.choice(len(self.log.user_ids), QUERIES))
        past.items[::5, -2] = ITEMS + 1 + rng.integers(0, 90, len(past.items[::5]))
        past.items[::7, -1] = ITEMS + 10**6  # no process has received this item
        table = np.zeros(QUERIES, dtype)
        table["generation"], table["due"], table["now"] = b"g", time.time() + 600, now
        columns = {"history_items": past.items, "times": past.times, "types": past.types, "context": past.context}
        for name, column in (columns | fields).items():
            table[name] = column
        return wire.as_bytes(table)

    def queries(self):
        """Queries with filters and with items of their own, and others."""
        rng, spec = np.random.default_rng(6), self.folder.spec()
        wanted = {"price": {"gt": 20}}, {"price": {"gt": 200.0}}, {"categories": ["category 7", "category 31"]}
        compiled = [packed(matches(filters(each), spec)) for each in ({}, *wanted)]
        extra = np.full((QUERIES, 32), PAD, np.int32)
        extra[::3, :8] = rng.integers(0, ITEMS + 90, (len(extra[::3]), 8))
        return self.rows(wire.RETRIEVE, extra=extra, filter=np.stack([compiled[n % 4] for n in range(QUERIES)]))


@pytest.fixture(scope="module", params=[0.0, 0.4], ids=["seen items excluded", "items repeat"])
def shards(request, tmp_path_factory):
    """Four shards with items put. tests/service/test_sharded_retrieval.py has shards of a generation as trained."""
    folder = tmp_path_factory.mktemp("shards")
    log = encode(dataset.read(generate(Shape(60_000, ITEMS, repeats=request.param), folder / "data")))
    return Shards(untrained(folder / "generations", log, log, 0), log, 4)


def test_candidates_are_those_of_all_items(shards):
    """Of every source, with filters, items put, hidden items, and items that come with the query."""
    rows = shards.queries()
    found = wire.as_table(shards.ask("retrieve", rows), wire.RETRIEVED)
    expected = wire.as_table(shards.whole.retrieve(rows), wire.RETRIEVED)
    assert (expected["items"] != PAD).sum() > QUERIES * 200
    named = np.bitwise_or.reduce(expected["sources"], axis=None)
    assert named & 0b0010111 == 0b0010111
    np.testing.assert_array_equal(found, expected)


def test_scores_of_a_list_are_those_of_all_items(shards):
    """The shard that has an item scores it; the order of equal scores is that of the list."""
    listed = np.random.default_rng(7).integers(0, ITEMS + 95, (QUERIES, 512)).astype(np.int32)
    listed[:, 300:] = PAD
    rows = shards.rows(wire.RANK, items=listed, sources=8)
    np.testing.assert_array_equal(shards.ask("complete", rows), shards.whole.complete(rows))


def test_the_place_of_an_item_is_that_among_all_items(shards):
    """Also of an item that was put, and of one that no process has received."""
    named = np.random.default_rng(8).integers(0, ITEMS + 95, QUERIES)
    rows = shards.rows(wire.PLACE, item=named)
    found, expected = (
        wire.as_table(each, wire.PLACED) for each in (shards.ask("place", rows), shards.whole.place(rows))
    )
    for name in ("tower", "place", "failed"):
        np.testing.assert_array_equal(found[name], expected[name])


def test_similar_items_are_those_of_all_items(shards):
    """With and without a filter, of items of the generation and of items put."""
    table = np.zeros(12, wire.SIMILAR)
    table["generation"], table["due"] = b"g", time.time() + 600
    table["item"] = [5, 700, 1400, 2999, 33, 34, 35, 36, 2, 4, 8, 1]
    table["filter"][::2] = packed(matches(filters({"price": {"gt": 20}}), shards.folder.spec()))
    for row in range(len(table)):
        rows = wire.as_bytes(table[row : row + 1])
        np.testing.assert_array_equal(shards.ask("similar", rows), shards.whole.similar(rows))


def test_a_missing_shard_is_named(shards):
    """Its items are missing, and all others are ranked as before."""
    rows, third = shards.queries(), Shard(3, 4).rows(ITEMS)
    shards.away = {3}
    try:
        found = wire.as_table(shards.ask("retrieve", rows), wire.RETRIEVED)
        assert found["missing"].tolist() == [0b100] * QUERIES
        assert not ((found["items"] >= third.start) & (found["items"] < third.stop)).any()
        assert (found["items"] != PAD).sum() > QUERIES * 200
        assert (wire.as_table(shards.ask("place", shards.rows(wire.PLACE)), wire.PLACED)["place"] == PAD).all()
        shards.away = {1, 2, 3, 4}
        with pytest.raises(StageError, match="no shard"):
            shards.ask("retrieve", rows)
    finally:
        shards.away = set()


def test_a_shard_is_back_when_it_answers_a_query():
    """A shard that starts fails each row until it holds the generation: that ends no outage, and starts none."""
    query, answer = np.zeros(1, wire.PLACE), np.zeros(1, wire.PLACED)
    query["generation"], query["due"] = b"g", time.time() + 600
    now = ["works"]

    async def first(api, rows):
        return wire.as_bytes(answer.copy())

    async def second(api, rows):
        if now == ["away"]:
            raise ConnectionError
        return np.frombuffer(wire.failure(wire.PLACED), np.uint8)[None] if now == ["starts"] else await first(api, rows)

    async def away_in_each(*states):
        retrieval, found = ShardedRetrieval([first, second]), []
        for state in states:
            now[:] = [state]
            for _ in range(4):
                await retrieval.place(wire.as_bytes(query))
                await asyncio.sleep(REST_SECONDS / 2)
            found.append(retrieval.away())
        return found

    assert asyncio.run(away_in_each("starts", "away", "starts", "works")) == [[], *[["retrieval-shard-2"]] * 2, []]


def test_addresses_in_another_order_are_refused(shards):
    """The error names the address and what is there."""
    with pytest.raises(StageError, match="address 2 of 4 in TANDEM_RETRIEVAL_URL has shard 3 of 4"):
        shards.ask("retrieve", shards.queries(), (1, 3, 2, 4))


def test_a_shard_alone_answers_no_query(shards):
    """A gateway that names one shard as all of retrieval would silently miss most items."""
    answer = wire.as_table(shards.models[0].retrieve(shards.queries()), wire.RETRIEVED)
    assert answer["failed"].all()


@pytest.mark.parametrize("text", ["0/4", "5/4", "2", "a/b", "1/65", "2/4 "])
def test_a_wrong_shard_is_refused(text):
    """The error gives the form."""
    with pytest.raises(ValueError, match="NUMBER/COUNT, such as 2/4"):
        Shard.parse(text)
