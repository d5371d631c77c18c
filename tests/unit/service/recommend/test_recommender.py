"""The verbs behind both doors, over all stages in one process."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from recsys.errors import QueryError
from recsys.fresh_items.put_items import NOTHING_PUT
from recsys.lists.list_maker import ListMaker
from recsys.retrieval.retriever import Retriever
from recsys.slates.query import NO_RULES, Degraded
from recsys.types import Source
from service.recommend.deadlines import Deadline
from service.schema import Mode, RecommendRequest
from service.settings import Settings
from service.verbs.dependencies import Dependencies
from service.verbs.recommender import Recommender
from service.verbs.surfaces import ServedSurface
from tests.fakes.fake_users import AwayStore
from tests.fakes.in_process import InProcessService, broken, ids


@pytest.fixture(scope="module")
def world(tiny_world):
    return InProcessService(tiny_world[0])


def dependencies(world, **more):
    """Dependencies without users, explanations and similar items."""
    served = {"live": lambda: world.served, "current": NOTHING_PUT, "note": lambda _: None}
    arms = SimpleNamespace(query=lambda request, user, situation, build: build(situation), note=lambda *_: None)
    surface = ServedSurface(
        "default", Mode.AUTO, 10, 0.5, 3600.0, 86_400.0, True, SimpleNamespace(of=lambda _: NO_RULES)
    )
    parts = SimpleNamespace(**(served | more), of=lambda _: surface, rows=lambda *_: {}, made_at=0.0, show=None)
    return Dependencies(world.pipeline(), parts, parts, parts, None, None, parts, parts, arms, parts, parts)


def test_a_request_for_several_users_is_admitted_whole_or_not_at_all(world):
    """Each user counts as a slate, half of the limit is reserved for single users, and a refused request is not
    logged.
    """
    noted = []

    async def scene():
        settings = Settings(max_in_flight=1, max_under_way=5)
        recommender = Recommender(dependencies(world, note=noted.append), world.store, settings)

        async def recommend(*users):
            request = RecommendRequest(user_ids=list(users), mode=Mode.REALTIME)
            try:
                return len(await recommender.recommend(request, Deadline.of_now()))
            except QueryError as error:
                return error.code

        several = await asyncio.gather(recommend(1, 2, 3, 4, 5), recommend(6))
        room = await asyncio.gather(recommend(1, 2), recommend(3, 4), recommend(5, 6), recommend(7))
        return several, room, recommender._admission.full

    assert asyncio.run(scene()) == ([5, "overloaded"], [2, 2, "overloaded", 1], False)
    shown = (1, 1, 2, 2, 3, 3, 4, 4, 5, 7)
    assert sorted(query.user_id for query in noted) == list(shown)


def test_a_deadline_of_a_request_is_at_most_that_of_the_surface():
    """It counts from the arrival of the request."""
    now = time.monotonic()
    assert Deadline(now, 0.3).within(0.5) == now + 0.3
    assert Deadline(now, 60).within(0.5) == Deadline(now).within(0.5) == now + 0.5


class TestSimilar:
    def test_without_retrieval_similar_items_are_popular_items(self, world):
        """Also for a user with a list, which is not about the item."""
        query = world.similar(world.query(user=4), 0, similar=broken)
        assert len(query.record.candidates)
        assert query.degraded == [Degraded.RETRIEVAL]
        assert (query.sources == Source.POPULAR).all()
        assert len(ids(query)) == 10
        assert 0 not in query.items

    def test_the_list_of_an_item_answers_in_mode_batch_and_without_retrieval(self, world, tiny_world):
        """It equals what is computed now. If fewer than k of its items may be shown, retrieval answers."""
        maker = ListMaker(
            world.served.manifest, world.served.tables, world.served.spec, Retriever.load(tiny_world[0]), None
        )
        item = world.served.row_of("drama-1")
        world.store.similar[item] = maker.similar(item, 1.5).pack()

        def answer(mode=Mode.BATCH, **more):
            calls = {name: more.pop(name) for name in ("similar", "store") if name in more}
            return world.similar(world.query(user=None, mode=mode, **more), item, **calls)

        now, listed, away = answer(Mode.REALTIME), answer(similar=broken), answer(Mode.REALTIME, similar=broken)
        assert [each.made_by for each in (now, listed, away)] == ["realtime", "batch", "batch"]
        assert [each.degraded for each in (now, listed, away)] == [[], [], [Degraded.RETRIEVAL]]
        for made in (listed, away):
            assert ids(made) == ids(now)
            assert (made.scores == now.scores).all()
            assert (made.tower == now.tower).all()
            assert (made.sources == now.sources | Source.PRECOMPUTED).all()
        assert answer(exclude=ids(now)).removed == {"excluded": 10}
        for more in ({"k": 60}, {"exclude": ids(answer(k=45))}, {"filter": {"year": [1990]}}):
            assert answer(**more).made_by == "realtime"
        lost = answer(store=AwayStore())
        assert (ids(lost), lost.made_by, lost.degraded) == (ids(now), "realtime", [Degraded.STORE])
