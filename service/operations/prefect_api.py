"""The calls of Prefect's REST API that start a deployment's run and read its state, for the page /operations.

The service does not depend on Prefect: two calls need no client of its own.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import aiohttp

from recsys.errors import QueryError, TandemError
from service.settings import Settings

CALL_SECONDS = 10.0
"""Time for a call. Prefect's server answers within 0.1 s on an idle machine."""

BUSY_WAITS = (0.2, 0.5, 1.0, 2.0)
"""Seconds before the next try while Prefect answers 503, as it does where another writer has locked its SQLite file."""

TAG = "tandem"
"""The tag of each run of the deployments in prefect.yaml. Runs of other projects are not shown."""

ENDED = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
"""Types of the states in which a run stays."""

RUNS = "/flow_runs/"
"""The path of runs in Prefect's API."""

NO_SLOT = "concurrency limit reached"
"""Of Prefect's message about a run that it cancelled, because another run of the deployment has not ended."""

SHOWN_CHARACTERS = 500
"""Characters of a message of Prefect's that an answer repeats."""

NOT_SET = "Promotion and rollback need Prefect: set PREFECT_API_URL in the gateway's environment, and restart it."


class PrefectError(TandemError):
    """Prefect's API can't be used; the message names the remedy."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run of a deployment. state: Prefect's name, such as Late. message: the result, or the reason of a failure."""

    id: str
    state: str
    message: str
    ended: bool
    succeeded: bool


class PrefectApi:
    """Prefect's API at PREFECT_API_URL."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.prefect_api_url.rstrip("/")
        self._headers = _authorization(settings)

    @property
    def unavailable(self) -> str | None:
        """Why no run can be started; None if an API is set, which may still not answer."""
        return None if self._url else NOT_SET

    async def start(self, deployment: str, parameters: dict[str, str]) -> Run:
        """Start a run of a deployment, such as promote/by-hand; PrefectError if Prefect does not take it."""
        found = await self._call("GET", f"/deployments/name/{deployment}", f"the deployment {deployment}")
        path = f"/deployments/{found['id']}/create_flow_run"
        once = uuid4().hex  # a repeated call starts no second run
        started = await self._call(
            "POST", path, f"the deployment {deployment}", parameters=parameters, idempotency_key=once
        )
        return _run(started)

    async def run(self, name: str) -> Run:
        """The state of a run by its id, a UUID; QueryError for one that is not Tandem's."""
        found = await self._call("GET", f"{RUNS}{name}", f"the run {name}")
        if TAG not in found.get("tags", ()):
            raise QueryError(f"The run {name} is not one of Tandem's.", "run_id", code="not_found")
        return _run(found)

    async def _call(self, method: str, path: str, wanted: str, **body: Any) -> dict[str, Any]:
        if not self._url:
            raise PrefectError(NOT_SET)
        try:
            status, text = await self._send(method, self._url + path, body)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            why = str(error) or f"no answer within {CALL_SECONDS:g} s"
            raise PrefectError(
                f"Prefect does not answer at {self._url} ({why}). Start its server, or correct PREFECT_API_URL."
            ) from error
        if status >= HTTPStatus.BAD_REQUEST:
            raise self._refused(status, path, wanted, text)
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or "id" not in answer:
            raise PrefectError(f"What answers at {self._url} is not Prefect's API. Correct PREFECT_API_URL.")
        return answer

    async def _send(self, method: str, url: str, body: dict[str, Any]) -> tuple[int, str]:
        """The status and text of a response. While Prefect is busy the request is repeated, as by its own client."""
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
        async with aiohttp.ClientSession(headers=self._headers, timeout=timeout) as session:
            for wait in (0.0, *BUSY_WAITS):
                await asyncio.sleep(wait)
                async with session.request(method, url, json=body or None) as response:
                    status, text = response.status, await response.text(errors="replace")
                if status != HTTPStatus.SERVICE_UNAVAILABLE:
                    break
        return status, text

    def _refused(self, status: int, path: str, wanted: str, text: str) -> TandemError:
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return PrefectError(
                "Prefect refused the gateway's credentials. Set PREFECT_API_KEY or PREFECT_API_AUTH_STRING."
            )
        if status == HTTPStatus.NOT_FOUND and path.startswith(RUNS):
            return QueryError(f"Prefect has not {wanted}. Send the id that started a run.", "run_id", code="not_found")
        if status == HTTPStatus.NOT_FOUND:
            return PrefectError(
                f"Prefect at {self._url} has not {wanted}. Make the deployments: prefect deploy --all, "
                "or run python -m flows schedule."
            )
        return PrefectError(f"Prefect answered {status}: {text[:SHOWN_CHARACTERS]}")


def _authorization(settings: Settings) -> dict[str, str]:
    """The header of the credentials, as Prefect's own client sends it; empty without any."""
    if pair := settings.prefect_api_auth_string.get_secret_value():
        return {"authorization": f"Basic {b64encode(pair.encode()).decode()}"}
    if key := settings.prefect_api_key.get_secret_value():
        return {"authorization": f"Bearer {key}"}
    return {}


def _run(found: dict[str, Any]) -> Run:
    state = found.get("state") or {}
    message = str(state.get("message") or "").removeprefix("Flow run encountered an exception: ")
    kind = state.get("type", "")
    if kind == "CANCELLED" and NO_SLOT in message:
        message = "Another promotion or rollback is running."
    return Run(found["id"], state.get("name", ""), message[:SHOWN_CHARACTERS], kind in ENDED, kind == "COMPLETED")
