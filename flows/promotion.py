"""The Prefect flows `promote` and `rollback`: they move the alias `live` to another generation (a trained model).

The page /operations starts their deployments. The commands of these names do the same without Prefect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from flows.operate import publish_and_promote
from flows.operate.publish_and_promote import describe_move
from flows.orchestration import name_run
from recsys.environment import Environment
from recsys.errors import TandemError
from recsys.store.from_environment import open_store
from recsys.store.redis.generation_store import RedisGenerationStore
from recsys.store.stored_types import AliasMove


@flow(name="promote", timeout_seconds=120)
def promote(generation: Annotated[str, Field(description="the id of a generation of the store")]) -> State[Any]:
    """Make a generation live, also an older one. The state has a sentence on what moved, or why nothing did."""
    name_run(f"promote-{generation}")
    return _moved(lambda store: publish_and_promote.promote(generation, store))


@flow(name="rollback", timeout_seconds=120)
def rollback(to: Annotated[str, Field(description="the id of the generation that was live before")]) -> State[Any]:
    """Make the previous generation live. The run fails if that is another one than `to` by now."""
    name_run(f"rollback-to-{to}")
    return _moved(lambda store: publish_and_promote.roll_back(store, to))


def _moved(move: Callable[[RedisGenerationStore], AliasMove]) -> State[Any]:
    try:
        with open_store(Environment.read()) as store:
            return Completed(message=describe_move(move(store.generations())))
    except TandemError as error:
        return Failed(message=str(error))
