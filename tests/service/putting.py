"""Puts of items into a deployment, and the wait until all workers answer with them."""

import time

TIMEOUT = 30.0
"""Seconds until `poll` fails."""

FAN = 4
"""A user of comedies; tests/tiny.py."""


def put(client, *items):
    answer = client.put("/items", json={"items": list(items)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def recommend(client, user=FAN, **more):
    answer = client.post("/recommend", json={"user_id": user, "k": 100, **more})
    assert answer.status_code == 200, answer.text
    return {item["item_id"]: item for item in answer.json()["items"]}, answer.json()


def poll(name, holds, times=8):
    """Return when `holds` was true `times` times in a row, so that every worker has answered."""
    end = time.monotonic() + TIMEOUT
    row = 0
    while row < times:
        assert time.monotonic() < end, f"{name}: not after {TIMEOUT} s"
        row = row + 1 if holds() else 0


def comedy(item_id, **more):
    return {
        "item_id": item_id,
        "title": f"A new {item_id}",
        "categories": ["comedy"],
        "columns": {"year": 2005},
        **more,
    }
