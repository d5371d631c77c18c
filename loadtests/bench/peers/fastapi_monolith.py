"""Server for comparison in the benchmark: a FastAPI app that computes a whole request in one process.

It runs as `uvicorn --workers 2` with httptools, uvloop and a Redis pool. The event loop computes the request: with a
process for each core a thread pool only adds switches. The engine is `plain` for fastapi_monolith and `kernels` for
fastapi_same_kernels.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from pydantic import BaseModel, Field

from loadtests.bench.peers import environment
from loadtests.bench.peers.engine import Slate


class SlateRequest(BaseModel):
    """The body of a request."""

    user_id: int | str
    k: int = Field(10, ge=1, le=100)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the models once."""
    app.state.engine, app.state.users = environment.engine(), environment.users()
    yield
    await app.state.users.close()


app = FastAPI(lifespan=lifespan)


@app.post("/recommend")
async def recommend(body: SlateRequest, request: Request) -> Slate:
    """A slate for one user."""
    recommender, manifest = request.app.state.engine, request.app.state.engine.manifest
    [found] = await request.app.state.users.read_users(manifest.id, manifest.user_buckets, [body.user_id])
    return Slate.of(body.user_id, recommender.slate(found, body.k), recommender)


@app.get("/readyz")
async def ready() -> str:
    """Ready: the engine is warm before the first answer."""
    return "ok"
