"""The verbs behind both doors, over the whole path in one process."""

import asyncio
import time
from types import SimpleNamespace

import numpy as np
import pytest

from recsys.errors import QueryError, StoreUnavailable
from recsys.fresh_items.put_items import NOTHING_PUT, PutItem
from recsys.store import MemoryStore
from recsys.types import Source
from service.recommend.query import NO_RULES, Degraded
from service.schema import Mode, RecommendRequest
from service.settings import Settings
from service.verbs.recommender import Dependencies, Recommender
from tests.fakes.in_process import InProcessService, broken, counted, ids


@pytest.fixture(scope="module")
def world(tiny_world):
    return InProcessService(tiny_world[0])


def test_a_request_for_several_is_let_in_whole_or_not_at_all(world):
    """Its users count as so many slates for whoever comes next, those of many leave room for who asks alone, and what
    was refused was shown to nobody.
    """
    noted = []
    desk = SimpleNamespace(note=noted.append, generation=lambda alias: world.served, current=NOTHING_PUT)
    nothing = SimpleNamespace(of=lambda _: NO_RULES, rows=lambda *_: {})
    dependencies = Dependencies(world.pipeline(), desk, None, desk, None, None, nothing, desk, nothing)

    async def scene():
        recommender = Recommender(dependencies, world.store, Settings(max_in_flight=1, max_under_way=5))

        async def ask(*users):
            request = RecommendRequest(user_ids=list(users), mode=Mode.REALTIME)
            try:
                return len(await recommender.recommend(request, time.monotonic() + 5))
            except QueryError as error:
                return error.code

        whole = await asyncio.gather(ask(1, 2, 3, 4, 5), ask(6))
        room = await asyncio.gather(ask(1, 2), ask(3, 4), ask(5, 6), ask(7))
        return whole, room, recommender.full

    assert asyncio.run(scene()) == ([5, "overloaded"], [2, 2, "overloaded", 1], False)
    shown = (1, 1, 2, 2, 3, 3, 4, 4, 5, 7)
    assert sorted(query.user_id for query in noted) == list(shown)


class TestFilterValues:
    """What a filter may name: values that some item has."""

    def ask(self, world, fresh, *values):
        desk = SimpleNamespace(generation=lambda alias: world.served, current=fresh, note=lambda _: None)
        nothing = SimpleNamespace(of=lambda _: NO_RULES, rows=lambda *_: {})
        dependencies = Dependencies(world.pipeline(), desk, None, desk, None, None, nothing, desk, nothing)
        request = RecommendRequest(user_id=4, filter={"categories": list(values)})
        recommender = Recommender(dependencies, world.store, Settings())

        async def ask():
            return await recommender.recommend(request, time.monotonic() + 5)

        (query,) = asyncio.run(ask())
        return query.items.tolist()

    def test_a_value_that_no_item_has_is_told(self, world):
        """With the field and what may have been meant; a misspelt one was an empty slate without a word."""
        with pytest.raises(QueryError, match=r"^No item has the value 'Dramma'; there is drama\.$") as told:
            self.ask(world, NOTHING_PUT, "drama", "Dramma")
        assert told.value.field == "filter.categories"
        with pytest.raises(QueryError, match=r"^No item has the value 'x+\.$"):
            self.ask(world, NOTHING_PUT, "x" * 256)
        assert self.ask(world, NOTHING_PUT, "drama")

    def test_a_value_of_an_item_put_since_is_one(self, world):
        """The generation has no token for the value; the filter finds the put item by it."""
        puts = NOTHING_PUT.joined([PutItem("aria", 1, 1, 4e9, content={"categories": ["opera"]})], "e", 1)
        assert self.ask(world, puts, "opera") == [len(world.served.tables) + 1]
        with pytest.raises(QueryError, match="operetta"):
            self.ask(world, puts, "operetta")


class TestExplanation:
    def test_without_retrieval_there_are_no_features_to_tell(self, world):
        """The list that answered has no tower scores, so ranking is not asked what it makes of none."""
        query = world.query(traced=True)
        told = world.explain(query, int(world.run(world.query()).record.candidates[0]), retrieve=broken, place=broken)
        assert told.degraded == [Degraded.RETRIEVAL]
        assert told.features == []

    def test_without_the_tower_s_place_alone_features_are_told(self, world):
        """What was retrieved and ranked has them all."""
        row = int(world.run(world.query()).items[0])
        told = world.explain(world.query(traced=True), row, place=broken)
        assert told.degraded == [Degraded.RETRIEVAL]
        assert told.tower_place is None
        assert told.features
        assert not any(np.isnan(feature.value) for feature in told.features)

    @pytest.mark.parametrize(("asked", "calls"), [({}, {}), ({}, {"rank": broken}), ({"mode": Mode.BATCH}, {})])
    def test_it_names_the_place_of_an_item_beyond_the_slate(self, world, asked, calls):
        """By the score of the ranker, of retrieval or of the list."""
        far = int(world.run(world.query(k=8, **asked), **calls).items[-1])
        told = world.explain(world.query(k=5, traced=True, **asked), far, **calls)
        assert told.reason == f"It is at place {told.ranked_place} by score, and the slate ends at place 5."

    def test_it_says_that_no_source_proposed_an_item(self, world, monkeypatch):
        """The slate of an unknown user in mode batch is what is popular."""
        monkeypatch.setitem(world.served.__dict__, "popular", world.served.popular[:20])
        held = world.run(world.query(user="nobody", mode=Mode.BATCH, traced=True)).candidates.items.tolist()
        other = next(row for row in range(len(world.served.tables)) if row not in held)
        told = world.explain(world.query(user="nobody", mode=Mode.BATCH, traced=True), other)
        assert told.dropped_by == "retrieval"
        assert told.reason.startswith("No source proposed the item for this user in mode batch.")


class TestSimilar:
    def test_without_retrieval_it_is_what_is_popular_whoever_asks(self, world):
        """A list made for the user says nothing of the item."""
        query = world.similar(world.query(user=4), 0, similar=broken)
        assert len(query.record.candidates)
        assert query.degraded == [Degraded.RETRIEVAL]
        assert (query.sources == Source.POPULAR).all()
        assert len(ids(query)) == 10
        assert 0 not in query.items

    def test_what_it_did_without_and_what_was_removed_is_counted(self, world):
        """As for any slate, each once."""

        class Away(MemoryStore):
            async def read_users(self, *_):
                raise StoreUnavailable("No Redis answers.")

        def counts():
            stages = [counted("tandem_degraded_total", stage=stage) for stage in ("store", "retrieval")]
            return *stages, counted("tandem_removed_total", reason="excluded")

        before = counts()
        popular = [world.served.item_id(int(row)) for row in world.served.popular[:3]]
        query = world.similar(world.query(exclude=popular), int(world.served.popular[5]), store=Away(), similar=broken)
        assert query.removed == {"excluded": 3}
        assert tuple(np.subtract(counts(), before)) == (1, 1, 3)
