"""An example: send the events of a Redis stream to `/events` of a Tandem deployment, each at least once.

    export SOURCE_URL=redis://shop:6379/0 TANDEM_URL=http://gateway:3000
    python deploy/consumer/events_from_stream.py shop-events

An entry of the stream has one field `event`: an event as JSON, as `/events` takes it. An entry is acknowledged after
the deployment has stored its event. An entry whose event has no `event_id` has its own id as one, so a second delivery
counts once. A consumer that starts again with the same name first sends what it had not acknowledged.

For a Kafka topic replace `Stream` by three calls of confluent-kafka: `consumer.consume(BATCH, 1.0)` with
`enable.auto.commit` false, `f"{topic}-{partition}-{offset}"` as the event's id, and `consumer.commit()` after the send.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import redis

from tandem_client import Client
from tandem_client.errors import Broken, ClientError, DeadlineExceeded, Overloaded, RequestRefused, Unavailable

BATCH = 500
"""Events of a request; the service takes 1,000."""

MOST_PAUSE = 30.0
"""Seconds between two tries, at most. The client itself tries again within its deadline of 10 s."""

GROUP = "tandem"
PASSES = Overloaded, Unavailable, DeadlineExceeded, Broken

Entry = tuple[str, dict[str, str]]


class Stream:
    """A consumer of a stream in its group. Entries that cannot be events move to `NAME:refused`."""

    def __init__(self, client: Any, name: str, consumer: str) -> None:
        self._redis, self._name, self._consumer = client, name, consumer
        self._after = "0"  # first the own entries that were not acknowledged, then new ones
        with suppress(redis.ResponseError):  # the group exists
            client.xgroup_create(name, GROUP, id="0", mkstream=True)

    def read(self) -> list[Entry]:
        """The next entries; none if nothing came within 4 s, before the connection counts as dead."""
        while True:
            found = self._redis.xreadgroup(GROUP, self._consumer, {self._name: self._after}, BATCH, block=4_000)
            entries: list[Entry] = [(entry, fields or {}) for entry, fields in (found[0][1] if found else [])]
            if entries or self._after == ">":
                break
            self._after = ">"
        if self._after != ">":
            self._after = entries[-1][0]
        return entries

    def acknowledge(self, entries: list[Entry]) -> None:
        """Note that entries are stored."""
        if entries:
            self._redis.xack(self._name, GROUP, *(entry for entry, _ in entries))

    def refuse(self, entry: Entry, why: str) -> None:
        """Move an entry aside, with the reason."""
        self._redis.xadd(f"{self._name}:refused", {**entry[1], "entry": entry[0], "why": why})
        self.acknowledge([entry])


def event_of(entry: Entry) -> dict[str, Any]:
    """The event of an entry, with an id and a time. ValueError if the entry has no JSON object."""
    name, fields = entry
    event = json.loads(fields.get("event", ""))
    if not isinstance(event, dict):
        raise ValueError("The field event holds no JSON object.")
    given = {field: value for field, value in event.items() if value is not None}
    return {"event_id": name, "timestamp": int(name.partition("-")[0]) / 1_000} | given


def send(client: Client, stream: Stream, entries: list[Entry], sleep: Callable[[float], None] = time.sleep) -> None:
    """Send entries until each is stored or refused; other errors of the client end the consumer."""
    pause, left = 0.5, list(entries)
    while left:
        try:
            client.add_events([event_of(entry) for entry in left])
        except PASSES as error:
            sleep(max(pause, error.retry_after or 0.0))
            pause = min(2 * pause, MOST_PAUSE)
        except (RequestRefused, ValueError) as error:
            at = wrong_one(left, error)
            stream.refuse(left.pop(at), str(error))
        else:
            break
    stream.acknowledge(left)


def wrong_one(entries: list[Entry], error: Exception) -> int:
    """The entry that an error is about; the error itself is raised if it is about none."""
    if isinstance(error, ClientError):
        if found := re.match(r"events\.(\d+)", error.field or ""):
            return int(found[1])
        raise error
    for at, entry in enumerate(entries):
        try:
            event_of(entry)
        except ValueError:
            return at
    raise error


def main() -> None:
    """Consume a stream until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Send the events of a Redis stream to a Tandem deployment.")
    parser.add_argument("stream")
    parser.add_argument("--name", default=socket.gethostname(), help="of this consumer; keep it over restarts")
    options = parser.parse_args()
    source = redis.Redis.from_url(os.environ["SOURCE_URL"], decode_responses=True)
    with source, Client(os.environ["TANDEM_URL"], key=os.environ.get("TANDEM_KEY")) as client:
        stream = Stream(source, options.stream, options.name)
        while True:
            send(client, stream, stream.read())


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
