"""Fake recommender with fixed answers, and a gRPC server over it, for tests of requests without models."""

from __future__ import annotations

import asyncio
import threading
import time
from types import TracebackType
from typing import Any

import uvloop

from service import schema
from service.grpc.server import GrpcServer
from service.recommend.admission import overloaded
from service.recommend.deadlines import Deadline
from service.schema import verb_table
from tests.servers.deployment import free_port

SCORED = schema.ScoredItem(
    item_id="drama-1", title="The drama 1", score=0.25, tower_score=None, sources=["popular"], rules=["pin"]
)
FRESHNESS = schema.Freshness(model=3600.0, list=120.5, trending=None, event=0.0)


def slate(user_id):
    """The slate that every user gets."""
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
        surface="home",
        arms={"checkout": "new"},
        arms_away=["checkout"],
        freshness=FRESHNESS,
    )


def explanation(request):
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
        features=[schema.Feature(name="age", value=0.0, contribution=-0.5, relative=-0.25)],
        reasons=["against it: newer than the others"],
        rules=[],
        history=0,
        degraded=["ranking"],
        unknown_items=["opera-1", 7],
        unknown_types=["Purchase"],
        surface="default",
        arms={"checkout": "control"},
        arms_away=["checkout"],
    )


SIMILAR = schema.SimilarItem(item_id=7, title="Seven", score=1.5, likeness=0.5, sources=["tower"])
EVENT = schema.StoredEvent(item_id="drama-1", title=None, event_type="click", timestamp=1.5, context={"device": "tv"})
ITEM = schema.ItemResponse(
    item_id="x",
    generation="g1",
    title="",
    categories=["drama"],
    columns={"year": 1999.0, "brand": "x"},
    available=False,
    known=True,
    put_at=None,
)
STATUS = schema.StatusResponse(
    ready=True,
    generation="g1",
    live=None,
    topology="split",
    store="ok",
    away=["ranking"],
    rules=["cap: this generation has no categorical column 'actor'; it has genre."],
    surfaces=["default", "home"],
    surface_errors=["surfaces.toml: home.k is 0."],
    refused={"g0": "retrieval: a hash differs"},
    processes=[schema.Process(name="gateway@here", held=["g1"])],
    fresh_items=0,
    hidden_items=1,
    event_types=["view", "purchase"],
    data={"name": "tiny", "rows": 480, "columns": ["device"], "nested": {"share": 0.5, "none": None}},
    metrics={},
)

ANSWERS = {
    verb_table.RECOMMEND: lambda request: schema.SlatesResponse(
        slates=[slate(user) for user in request.user_ids or [request.user_id]]
    ),
    verb_table.SIMILAR: lambda request: schema.SimilarResponse(
        item_id=request.item_id,
        items=[SIMILAR],
        generation="g1",
        removed={},
        degraded=[],
        mode="batch",
        surface=request.surface,
        freshness=FRESHNESS,
    ),
    verb_table.EXPLAIN: explanation,
    verb_table.RANK: lambda request: schema.RankResponse(
        user_id=request.user_id,
        items=[SCORED],
        generation="g1",
        history=1,
        removed={"rules": 1},
        degraded=[],
        unknown_items=["opera-1"],
        unknown_types=[],
        surface=request.surface,
        arms={"checkout": "new"},
        arms_away=["checkout"],
        freshness=FRESHNESS,
    ),
    verb_table.EVENTS: lambda request: schema.EventsResponse(
        stored=len(request.events), unknown_items=[request.events[0].item_id], unknown_types=["Purchase"], too_old=1
    ),
    verb_table.ITEMS: lambda request: schema.ItemsResponse(
        stored=len(request.items), new=0, known=len(request.items), unplaced=["x", 3], ignored_columns=["year"]
    ),
    verb_table.ITEM: lambda request: ITEM.model_copy(update={"item_id": request.item_id}),
    verb_table.FORGET_ITEM: lambda request: schema.ForgottenItemResponse(
        item_id=request.item_id, forgotten=False, known=True
    ),
    verb_table.USER: lambda request: schema.UserResponse(
        user_id=request.user_id,
        generation="g1",
        known=False,
        history=[],
        events=[EVENT],
        seen=0,
        listed=0,
        listed_at=None,
    ),
    verb_table.FORGET: lambda request: schema.ForgottenResponse(user_id=request.user_id, forgotten=True),
    verb_table.MERGE: lambda request: schema.MergedResponse(user_id=request.user_id, into=request.into, events=2),
    verb_table.STATUS: lambda _: STATUS,
}


class FakeRecommender:
    """Answers every endpoint, with a value in each field of the answers.

    full: whether requests for slates are refused. fault: exceptions that replace the next answers. wait: seconds that a
    slate takes. requests: all requests that were answered or failed. ended: how each slate ended. dues: seconds that
    each slate had left.
    """

    def __init__(self) -> None:
        self.ready = True
        self.full = False
        self.fault: list[Exception] = []
        self.wait = 0.0
        self.requests: list[Any] = []
        self.ended: list[str] = []
        self.dues: list[float] = []

    def admit(self, verb, seconds=None):
        if verb.timed and self.full:
            raise overloaded()
        return Deadline.of_now(seconds)

    async def answer(self, verb, request, deadline, forced=()):
        self.requests.append(request)
        self.forced = list(forced)
        if verb is verb_table.RECOMMEND:
            self.dues.append(deadline.within(60.0) - time.monotonic())
            await self._make_slate()
        if self.fault:
            raise self.fault.pop(0)
        return ANSWERS[verb](request)

    async def _make_slate(self):
        try:
            await asyncio.sleep(self.wait)
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        self.ended.append("done")


class RpcServer:
    """The gRPC server over a recommender, on an event loop and a loopback port of its own; a context manager."""

    def __init__(self, recommender: Any, **more: Any) -> None:
        self.recommender = recommender
        self._more = {"key_check": None} | more
        self.port = free_port()
        self.place = f"127.0.0.1:{self.port}"
        self._loop = uvloop.new_event_loop()  # as in the gateway
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def begin(self, work: Any) -> Any:
        """Start a coroutine on the loop; its future."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Any) -> Any:
        """Run a coroutine on the loop; its result."""
        return self.begin(work).result(30)

    def __enter__(self) -> RpcServer:
        self._thread.start()
        self.door = GrpcServer(self.recommender, "127.0.0.1", self.port, **self._more)
        self.run(self.door.start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(self.door.stop(0.1))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
