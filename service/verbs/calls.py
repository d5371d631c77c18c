"""The calls of the verbs, as both doors make them: one table, one check of users, one refusal for overload."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel

from service import schema
from service.recommend.admission import overloaded
from service.schema import verbs
from service.schema.verbs import Verb
from service.verbs import answer_models
from service.verbs.recommender import Recommender

Call = Callable[[Any, float], Awaitable[BaseModel]]
"""Takes a request and its deadline (monotonic seconds); gives an answer."""


class Calls:
    """A recommender behind the doors."""

    def __init__(self, recommender: Recommender, check: Callable[[BaseModel], None] = lambda _: None) -> None:
        """check: raises QueryError for a request that its key does not allow."""
        self._recommender = recommender
        self._check = check
        self._calls = self._table()

    @property
    def ready(self) -> bool:
        """Whether there is a generation to answer from."""
        return self._recommender.ready

    def due(self, verb: Verb[Any], seconds: float | None) -> float:
        """When the answer is due, for a client that waits so many seconds; QueryError while too many slates are made.

        A door calls it before it reads a body or a message.
        """
        if verb in verbs.TIMED and self._recommender.full:
            raise overloaded()
        return self._recommender.due(seconds)

    async def answer(self, verb: Verb[Any], request: BaseModel, due: float) -> BaseModel:
        """The answer to a request."""
        self._check(request)
        return await self._calls[verb](request, due)

    def _table(self) -> dict[Verb[Any], Call]:
        recommender = self._recommender

        async def recommend(request: schema.RecommendRequest, due: float) -> schema.SlatesResponse:
            queries = await recommender.recommend(request, due)
            return schema.SlatesResponse.model_construct(slates=[answer_models.slate(query) for query in queries])

        async def status(_: schema.StatusRequest, __: float) -> schema.StatusResponse:
            return recommender.status()

        return {
            verbs.RECOMMEND: recommend,
            verbs.SIMILAR: recommender.similar,
            verbs.EXPLAIN: recommender.explain,
            verbs.EVENTS: lambda request, _: recommender.add_events(request.events),
            verbs.ITEMS: lambda request, _: recommender.put_items(request.items),
            verbs.ITEM: lambda request, _: recommender.item(request.item_id),
            verbs.FORGET_ITEM: lambda request, _: recommender.forget_item(request.item_id),
            verbs.USER: lambda request, _: recommender.user(request.user_id),
            verbs.FORGET: lambda request, _: recommender.forget(request.user_id),
            verbs.MERGE: lambda request, _: recommender.merge(request.user_id, request.into),
            verbs.STATUS: status,
        }
