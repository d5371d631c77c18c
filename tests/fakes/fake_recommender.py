"""A recommender that knows what it was asked and says what it is told to, and the gRPC door over it."""

from __future__ import annotations

import asyncio
import threading
import time
from types import TracebackType
from typing import Any

import numpy as np
import uvloop

from recsys.types import Source
from service import schema
from service.grpc.server import GrpcServer
from service.recommend.query import Query
from service.verbs.calls import Calls
from tests.servers.deployment import free_port

SCORED = schema.ScoredItem(
    item_id="drama-1", title="The drama 1", score=0.25, tower_score=None, sources=["popular"], rules=["pin"]
)


def slate(user_id):
    """What `answered` says."""
    return schema.RecommendResponse(
        user_id=user_id,
        items=[SCORED],
        generation="g1",
        mode="realtime",
        history=0,
        removed={"seen": 2},
        degraded=[],
        unknown_items=[],
        unknown_types=[],
    ).model_dump()


class Generation:
    """One of a single item."""

    id = "g1"

    def item_id(self, _):
        return SCORED.item_id

    def title(self, _):
        return SCORED.title


def answered(user_id):
    """A query whose slate is that one item."""
    query = Query(Generation(), user_id, 10, 0.0)
    query.set_candidates(np.zeros(1, np.int32), np.full(1, np.nan, np.float32), np.full(1, Source.POPULAR, np.uint16))
    query.scores = np.full(1, SCORED.score, np.float32)
    query.words, query.removed = {0: tuple(SCORED.rules)}, {"seen": 2}
    return query


class FakeRecommender:
    """Answers with everything that an answer may hold.

    full: whether it turns callers away. fault: raised in place of the next answer; wait: seconds that
    `recommend` takes. asked: what it was asked; ended: how each `recommend` ended. dues: seconds that each had left.
    """

    def __init__(self) -> None:
        self.ready = True
        self.full = False
        self.fault: list[Exception] = []
        self.wait = 0.0
        self.asked: list[Any] = []
        self.ended: list[str] = []
        self.dues: list[float] = []

    def due(self, seconds: float | None) -> float:
        return time.monotonic() + min(60.0, 60.0 if seconds is None else seconds)

    async def recommend(self, request, due):
        self.asked.append(request)
        self.dues.append(due - time.monotonic())
        try:
            await asyncio.sleep(self.wait)
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("done")
        self._fail()
        return [answered(user) for user in request.user_ids or [request.user_id]]

    def _fail(self):
        if self.fault:
            raise self.fault.pop(0)

    async def similar(self, request, due):
        self._fail()
        item = schema.SimilarItem(item_id=7, title="Seven", score=1.5, likeness=0.5, sources=["tower"])
        return schema.SimilarResponse(item_id=request.item_id, items=[item], generation="g1", removed={}, degraded=[])

    async def explain(self, request, due):
        self._fail()
        return schema.ExplainResponse(
            user_id=request.user_id,
            item_id=request.item_id,
            title="The drama 1",
            generation="g1",
            mode="hybrid",
            place=None,
            dropped_by="seen",
            reason="The user had it.",
            sources=["ease"],
            tower_score=0.0,
            tower_place=3,
            score=None,
            ranked_place=None,
            features=[schema.Feature(name="age", value=0.0, contribution=-0.5)],
            rules=[],
            history=0,
            degraded=["ranking"],
            unknown_items=["opera-1", 7],
            unknown_types=["Purchase"],
        )

    async def add_events(self, events):
        self.asked.append(events)
        self._fail()
        return schema.EventsResponse(
            stored=len(events), unknown_items=[events[0].item_id], unknown_types=["Purchase"], too_old=1
        )

    async def put_items(self, items):
        self.asked.append(items)
        return schema.ItemsResponse(
            stored=len(items), new=0, known=len(items), unplaced=["x", 3], ignored_columns=["year"]
        )

    async def item(self, item_id):
        return schema.ItemResponse(
            item_id=item_id,
            generation="g1",
            title="",
            categories=["drama"],
            columns={"year": 1999.0, "brand": "x"},
            available=False,
            known=True,
            put_at=None,
        )

    async def forget_item(self, item_id):
        return schema.ForgottenItemResponse(item_id=item_id, forgotten=False, known=True)

    async def user(self, user_id):
        event = schema.StoredEvent(
            item_id="drama-1", title=None, event_type="click", timestamp=1.5, context={"device": "tv"}
        )
        return schema.UserResponse(
            user_id=user_id, generation="g1", known=False, history=[], events=[event], seen=0, listed=0, listed_at=None
        )

    async def forget(self, user_id):
        return schema.ForgottenResponse(user_id=user_id, forgotten=True)

    async def merge(self, user_id, into):
        return schema.MergedResponse(user_id=user_id, into=into, events=2)

    def status(self):
        return schema.StatusResponse(
            ready=True,
            generation="g1",
            live=None,
            topology="split",
            store="ok",
            away=["ranking"],
            rules=["cap: this generation has no categorical column 'actor'; it has genre."],
            refused={"g0": "retrieval: a hash differs"},
            processes=[schema.Process(name="gateway@here", held=["g1"])],
            fresh_items=0,
            hidden_items=1,
            event_types=["view", "purchase"],
            data={"name": "tiny", "rows": 480, "columns": ["device"], "nested": {"share": 0.5, "none": None}},
            metrics={},
        )


class RpcServer:
    """The door over a recommender, on a loop and a loopback port of its own; a context manager."""

    def __init__(self, recommender: Any, check: Any = lambda _: None, **more: Any) -> None:
        self.recommender = recommender
        self._calls = Calls(recommender, check)
        self._more = {"guard": None} | more
        self.port = free_port()
        self.place = f"127.0.0.1:{self.port}"
        self._loop = uvloop.new_event_loop()  # as the gateway's
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def begin(self, work: Any) -> Any:
        """Begin something on the loop; its future."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Any) -> Any:
        """Do something on the loop."""
        return self.begin(work).result(30)

    def __enter__(self) -> RpcServer:
        self._thread.start()
        self.door = GrpcServer(self._calls, "127.0.0.1", self.port, **self._more)
        self.run(self.door.start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(self.door.stop(0.1))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
