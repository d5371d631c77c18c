"""The example that sends the events of a Redis stream to `/events`: at least once, and once in the history."""

import json
import os
import subprocess
import sys
from uuid import uuid4

import httpx
import pytest
import redis

from deploy.consumer.events_from_stream import GROUP, Stream, event_of, send
from tandem_client.answers import ErrorBody
from tandem_client.errors import NotAllowed, Overloaded
from tests.servers.deployment import ROOT, wait_for

STREAM = "shop-events"


@pytest.fixture
def source(own_valkey_url):
    """The Redis of a shop."""
    with redis.Redis.from_url(own_valkey_url, decode_responses=True) as client:
        client.flushall()
        yield client


def put(source, user, item, **more):
    """Add an event to the stream; its entry."""
    return source.xadd(STREAM, {"event": json.dumps({"user_id": user, "item_id": item, **more})})


def test_each_event_is_stored_once(deployment, source, own_valkey_url):
    """Also those that were delivered before a kill, one of them stored already; wrong ones are put aside."""
    user = f"consumer-{uuid4().hex}"
    stream = Stream(source, STREAM, "one")
    entries = [put(source, user, f"drama-{n}") for n in range(3)]
    assert len(stream.read()) == 3  # a consumer that is killed now has acknowledged nothing
    stored = event_of((entries[0], source.xrange(STREAM)[0][1]))
    httpx.post(f"{deployment.url}/events", json={"events": [stored]}).raise_for_status()
    put(source, user, None)
    source.xadd(STREAM, {"event": "no JSON"})
    put(source, user, "drama-9", event_id="mine", timestamp=float(entries[0].partition("-")[0]) / 1_000 + 9)
    environment = {"SOURCE_URL": own_valkey_url, "TANDEM_URL": deployment.url, "PYTHONPATH": f"{ROOT}/clients/python"}
    command = [sys.executable, "deploy/consumer/events_from_stream.py", STREAM, "--name", "one"]
    consumer = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment)
    try:
        wait_for(lambda: source.xinfo_groups(STREAM)[0]["lag"] == 0 and not source.xpending(STREAM, GROUP)["pending"])
    finally:
        consumer.kill()
        consumer.wait()
    events = httpx.get(f"{deployment.url}/users/{user}").json()["events"]
    assert sorted(event["item_id"] for event in events) == ["drama-0", "drama-1", "drama-2", "drama-9"]
    first = next(event for event in events if event["item_id"] == "drama-1")
    assert first["timestamp"] == int(entries[1].partition("-")[0]) / 1_000
    refused = [fields["why"] for _, fields in source.xrange(f"{STREAM}:refused")]
    assert len(refused) == 2


def test_a_busy_service_is_tried_again_and_a_wrong_key_is_not(source):
    """Pauses grow, and are at least what the service asks for; nothing is acknowledged before it is stored."""
    stream, pauses = Stream(source, STREAM, "one"), []
    put(source, "u", "a")
    busy = Overloaded(ErrorBody(code="limited", message="Too many."), retry_after=3.0)
    outcomes = [busy, busy, Overloaded(ErrorBody(code="overloaded", message="Too many.")), None]

    class Service:
        def add_events(self, events):
            assert source.xpending(STREAM, GROUP)["pending"] == 1
            if outcome := outcomes.pop(0):
                raise outcome

    send(Service(), stream, stream.read(), pauses.append)
    assert pauses == [3.0, 3.0, 2.0]
    assert source.xpending(STREAM, GROUP)["pending"] == 0
    put(source, "u", "b")
    outcomes.append(NotAllowed(ErrorBody(code="forbidden", message="No.")))
    with pytest.raises(NotAllowed):
        send(Service(), stream, stream.read(), pauses.append)
    assert source.xpending(STREAM, GROUP)["pending"] == 1
