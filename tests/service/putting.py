"""Items put into a deployment, and how soon its answers have them."""

import time

PATIENCE = 30.0
"""Seconds until a poll gives up: what is measured is printed, and no machine is so slow."""

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


def poll(what, holds, times=8):
    """Until `holds` is true `times` times in a row, which asks every worker; prints when it was first so for good."""
    start = time.monotonic()
    row, since = 0, start
    while row < times:
        assert time.monotonic() - start < PATIENCE, f"{what}: not so after {PATIENCE} s"
        if holds():
            since = since if row else time.monotonic()
            row += 1
        else:
            row = 0
    print(f"\n{what}: {since - start:.3f} s")  # noqa: T201 - the figure of the acceptance line


def comedy(item_id, **more):
    return {
        "item_id": item_id,
        "title": f"A new {item_id}",
        "categories": ["comedy"],
        "columns": {"year": 2005},
        **more,
    }
