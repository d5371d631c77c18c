"""/similar and /explain with many combinations of their fields: an answer that agrees with itself."""

from __future__ import annotations

from itertools import product

import httpx
import pytest

KNOWN, STRANGER = 4, "odd-stranger"
CONTEXTS = ({}, {"device": "mobile"}, {"device": "\u202eabacus"})
FILTERS = ({}, {"categories": ["drama"]}, {"categories": ["comedy"]})
EXCLUDED = ([], ["drama-1"], [7, "7", "no such item", "\0"])
SESSIONS = ([], [{"item_id": "drama-1"}], [{"item_id": "no such item", "timestamp": 0}])


@pytest.fixture(scope="module")
def client(untouched):
    with httpx.Client(base_url=untouched.url, timeout=30) as opened:
        yield opened


def ask(client, path, **body):
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("user", [None, KNOWN, STRANGER, "drama-1"])
@pytest.mark.parametrize("k", [1, 100])
def test_likes(client, user, k):
    """At most k, each once, none of those excluded, nothing of another category, and never the item itself."""
    for excluded, filters in product(EXCLUDED, FILTERS):
        answer = ask(client, "/similar", item_id="drama-1", user_id=user, k=k, exclude=excluded, filter=filters)
        items = [item["item_id"] for item in answer["items"]]
        assert len(items) == len(set(items)) <= k
        assert not {"drama-1", *excluded} & set(items)
        wanted = filters.get("categories", [""])[0]
        assert all(item.startswith(wanted) for item in items)
        assert items


@pytest.mark.parametrize("user", [None, KNOWN, STRANGER])
@pytest.mark.parametrize(("mode", "k"), [("auto", 1), ("batch", 100), ("hybrid", 1), ("realtime", 100)])
def test_reasons(client, user, mode, k):
    """A place in the slate or what kept it out of it, one of the two; and what was excluded or filtered is told so."""
    for (context, session), filters, excluded in product(zip(CONTEXTS, SESSIONS, strict=True), FILTERS, EXCLUDED):
        wish = {"context": context, "filter": filters, "exclude": excluded, "session": session, "mode": mode, "k": k}
        told = ask(client, "/explain", user_id=user, item_id="drama-1", **wish)
        assert (told["place"] is None) != (told["dropped_by"] is None)
        assert told["reason"].endswith(".")
        assert told["place"] is None or 1 <= told["place"] <= k
        if "drama-1" in excluded or filters.get("categories") == ["comedy"]:
            assert told["dropped_by"] is not None


@pytest.mark.parametrize("item", ["opera-1", 7, -(2**63), "\0", "drama-1 ", "DRAMA-1", "drama\u20111", "x" * 256])
@pytest.mark.parametrize("path", ["/similar", "/explain"])
def test_an_item_that_merely_looks_like_one(client, path, item):
    """404 with the field."""
    answer = client.post(path, json={"item_id": item, "user_id": KNOWN} if path == "/explain" else {"item_id": item})
    assert answer.status_code == 404
    assert answer.json()["error"]["field"] == "item_id"
