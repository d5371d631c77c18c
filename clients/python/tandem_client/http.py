"""The HTTP transport of the client: it sends calls to a Tandem server with httpx, blocking or with asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from tandem_client.answers import ErrorBody, ErrorResponse
from tandem_client.calls import Call
from tandem_client.errors import (
    Broken,
    ClientError,
    NotAllowed,
    Overloaded,
    RequestRefused,
    Unavailable,
    error_of,
    too_late,
    unanswered,
)
from tandem_client.trust import Trust

A = TypeVar("A", bound=BaseModel)

HEADER = "x-deadline-ms"
MOST_MS = 999_999
"""The longest deadline that the header takes."""

RESERVE_SECONDS = 0.005
"""The deadline that is sent is so much shorter than the wait of the client: the answer takes time to arrive."""


class HttpTransport:
    """HTTP for blocking programs. The connection and the answer may each take the rest of the deadline."""

    def __init__(self, url: str, headers: Mapping[str, str] = {}, trust: Trust | None = None) -> None:
        """headers: sent with each call."""
        self._client = httpx.Client(base_url=url, headers=headers, verify=trust.context() if trust else True)

    def send(self, call: Call[A], left: float) -> A:
        """One try; left: seconds."""
        with _failures():
            response = self._client.request(**_request(call, left))
        return _answer(call, response)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class AsyncHttpTransport:
    """HTTP for asyncio programs."""

    def __init__(self, url: str, headers: Mapping[str, str] = {}, trust: Trust | None = None) -> None:
        """headers: sent with each call."""
        self._client = httpx.AsyncClient(base_url=url, headers=headers, verify=trust.context() if trust else True)

    async def send(self, call: Call[A], left: float) -> A:
        """One try; left: seconds."""
        with _failures():
            async with asyncio.timeout(left):
                response = await self._client.request(**_request(call, left))
        return _answer(call, response)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _request(call: Call[Any], left: float) -> dict[str, Any]:
    verb, values = call.verb, dict(call.values)
    path = verb.path
    for name in ("user_id", "item_id"):
        if f"{{{name}}}" in path:
            path = path.format(**{name: _segment(values.pop(name), name)})
    return {
        "method": verb.method,
        "url": path,
        "json": values if verb.method in {"POST", "PUT"} else None,
        "headers": {HEADER: str(min(MOST_MS, max(1, int(1000 * (left - RESERVE_SECONDS)))))},
        "timeout": left,
    }


def _segment(value: object, field: str) -> str:
    """An id as part of a path. Dots are escaped too: a proxy may resolve "/users/..".

    The type is checked here: as part of a path, every value is text.
    """
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        message = "Send a string of 1 to 256 characters or an integer of 64 bits."
        raise RequestRefused(ErrorBody(code="invalid", message=message, field=field))
    return quote(str(value), safe="").replace(".", "%2E")


def _answer(call: Call[A], response: httpx.Response) -> A:
    try:
        if response.is_success:
            return call.verb.gives.model_validate_json(response.content)
        body = ErrorResponse.model_validate_json(response.content).error
    except ValidationError:
        message = f"The answer is not one of Tandem's (HTTP {response.status_code})."
        body = ErrorBody(code="http", message=message)
    raise error_of(body, _kind(response.status_code), _retry_after(response))


def _kind(status: int) -> type[ClientError]:
    if status in {429, 503}:
        return Overloaded if status == 429 else Unavailable
    if status in {401, 403}:
        return NotAllowed
    return RequestRefused if 400 <= status < 500 else Broken


def _retry_after(response: httpx.Response) -> float | None:
    seconds = response.headers.get("retry-after", "")
    return float(seconds) if seconds.isascii() and seconds.isdigit() else None  # a date is ignored


@contextmanager
def _failures() -> Iterator[None]:
    """Raise the errors of httpx as those of `errors`."""
    try:
        yield
    except (httpx.TimeoutException, TimeoutError) as error:
        raise too_late() from error
    except httpx.TransportError as error:
        raise unanswered(str(error) or type(error).__name__) from error
