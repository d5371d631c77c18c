"""The HTTP routes of the Explorer's data, below /explorer/; on the admin port they need a key with the scope read.

They serve the page alone and may change with the page: neither the OpenAPI document nor gRPC has them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydantic import BaseModel
from starlette.requests import Request
from starlette.routing import BaseRoute

from recsys.errors import NoGeneration, QueryError
from service import schema
from service.experiments import request_arms
from service.explorer import user_history
from service.explorer.choices import choices
from service.explorer.explorer_models import SearchRequest
from service.explorer.slate_reasons import with_reasons
from service.explorer.title_search import TitleSearch
from service.http import bodies, paths
from service.http.endpoints import Endpoints
from service.http.page_data.data_route import data_route
from service.schema import verb_table
from service.schema.errors import checked
from service.verbs.recommender import Recommender

Answer = Callable[[Recommender, Request], Awaitable[BaseModel]]


def routes(endpoints: Endpoints) -> list[BaseRoute]:
    """The routes, over the recommender that the endpoints have."""
    titles = TitleSearch()

    async def items(recommender: Recommender, request: Request) -> BaseModel:
        return await titles.find(_search(request), recommender.live)

    return [
        _route(endpoints, "/explorer/choices", "GET", _choices),
        _route(endpoints, "/explorer/items", "GET", items),
        _route(endpoints, "/explorer/users", "GET", _users),
        _route(endpoints, "/explorer/users/{user_id:path}", "GET", _history),
        _route(endpoints, "/explorer/slate", "POST", _slate),
    ]


def _route(endpoints: Endpoints, path: str, method: str, answer: Answer) -> BaseRoute:
    async def found(request: Request) -> str:
        if endpoints.recommender is None:
            raise NoGeneration("The service is starting.")
        return (await answer(endpoints.recommender, request)).model_dump_json()

    return data_route(path, method, found)


async def _choices(recommender: Recommender, _: Request) -> BaseModel:
    return choices(recommender)


async def _users(recommender: Recommender, request: Request) -> BaseModel:
    users, live = recommender.dependencies.users, recommender.live
    return await user_history.find(_search(request), users, live, recommender.permit)


async def _history(recommender: Recommender, request: Request) -> BaseModel:
    user = checked(schema.UserRequest, paths.ids(request))
    recommender.permit(user)
    return await user_history.history(user.user_id, recommender.dependencies.users, recommender.live)


async def _slate(recommender: Recommender, request: Request) -> BaseModel:
    deadline = recommender.admit(verb_table.EXPLAIN)
    parsed = await bodies.request_of(verb_table.RECOMMEND, request)
    assert isinstance(parsed, schema.RecommendRequest)
    if parsed.user_ids is not None:
        raise QueryError("The Explorer shows one user; name the user in user_id.", "user_ids")
    forced = recommender.permit(parsed, request.headers.getlist(request_arms.HEADER))
    async with recommender.traced_slate(parsed, deadline, forced) as query:
        return await with_reasons(query, recommender.dependencies.explainer)


def _search(request: Request) -> SearchRequest:
    return checked(SearchRequest, dict(request.query_params))
