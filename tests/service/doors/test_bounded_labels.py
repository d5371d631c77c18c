"""Clients add no time series: /metrics of a deployment has the same series after hundreds of names of each kind."""

import itertools
import json
import re
import socket
from http.client import HTTPConnection

KNOWN = "drama-1"
NAMES = 1_000
QUIET = {"log_impression": False}
"""The log of impressions works after the answers, so that its first series come at any time."""


def series(client):
    """The names and labels of all series of the service."""
    return set(re.findall(r"^(tandem_[^ ]+) ", client.get("/metrics").text, re.MULTILINE))


def names(kind):
    """Names that the deployment does not know, in groups."""
    return ([f"{kind}-{number}" for number in range(first, first + 500)] for first in range(0, NAMES, 500))


def pipelined(port, paths):
    """GET each path, many on one connection before the first answer is read; the statuses."""
    sent = "".join(f"GET /{path} HTTP/1.1\r\nhost: x\r\n\r\n" for path in paths[:-1])
    sent += f"GET /{paths[-1]} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall(sent.encode())
        received = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    return re.findall(rb"HTTP/1.1 (\d+)", received)


def bodies():
    """Requests with unknown names, and the status of each answer."""
    for group in names("user"):
        for users in (group[first : first + 100] for first in range(0, len(group), 100)):
            yield "/recommend", {"user_ids": users, "k": 1, "mode": "batch", **QUIET}, 200
    for group in names("item"):
        yield "/rank", {"items": group}, 200
        yield "/recommend", {"user_id": 1, "exclude": group, "session": [{"item_id": group[0]}], **QUIET}, 200
    for name in itertools.islice(itertools.chain(*names("arm")), 100):
        yield "/recommend", {"user_id": 1, "arms": {name: name}}, 422
        yield "/recommend", {"user_id": 1, "surface": name}, 422
        yield "/recommend", {"user_id": 1, "mode": name}, 422
        yield "/events", {"user_id": 1, "item_id": KNOWN, "event_type": name}, 200


def send(connection, path, body):
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_names_of_clients_add_no_series(deployment, client):
    """Paths, users, items, arms, surfaces, modes and types of events."""
    connection = HTTPConnection("127.0.0.1", deployment.port, timeout=60)
    first = {}
    for path, body, status in bodies():
        first.setdefault((path, status, *sorted(body)), (path, body, status))
    for path, body, status in first.values():  # the series of these verbs and outcomes
        assert send(connection, path, body) == status, body
    assert pipelined(deployment.port, ["nothing"] * 2) == [b"404"] * 2
    before = series(client)
    for path, body, status in bodies():
        assert send(connection, path, body) == status, body
    for group in names("path"):
        assert pipelined(deployment.port, group) == [b"404"] * len(group)
    for path in ("/users/mary@example.com", "/users/odd%2Fmary%20%F0%9F%92%9C", "/recommend/odd-mary"):
        client.get(path)
        client.delete(path)
    after = series(client)
    assert {each for each in after - before if 'verb="user"' not in each and 'verb="forget"' not in each} == set()
    assert not any("mary" in each for each in after)
