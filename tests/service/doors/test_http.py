"""The running deployment over HTTP: three BentoML services, real sockets, a real store."""

import re
from urllib.parse import urljoin

import httpx

from service.pages import files


def recommend(client, user, **more):
    answer = client.post("/recommend", json={"user_id": user, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(answer):
    return [item["item_id"] for item in answer["items"]]


def test_the_status_has_the_live_generation(client, published):
    """With its dataset and its metrics."""
    status = client.get("/status").json()
    assert status["generation"] == published
    assert status["ready"] is True
    assert status["topology"] == "split"
    assert status["data"]["name"] == "tiny"
    assert "two_stage" in status["metrics"]


def test_a_known_user_gets_a_slate(client, published):
    """k distinct items with title, falling score and sources, from one generation, without a stage left out."""
    answer = recommend(client, 4, k=12)
    assert len(set(ids(answer))) == 12
    assert answer["generation"] == published
    assert answer["degraded"] == []
    assert answer["history"] > 0
    scores = [item["score"] for item in answer["items"]]
    assert scores == sorted(scores, reverse=True)
    assert all(item["title"].startswith("The ") and item["sources"] for item in answer["items"])


def test_a_click_changes_the_next_recommendation(client):
    """Also over another connection."""
    user = "clicker"
    before = recommend(client, user)
    clicked = next(item for item in ids(recommend(client, user, k=50)) if item.startswith("drama"))
    answer = client.post("/events", json={"events": [{"user_id": user, "item_id": clicked}]})
    assert answer.json() == {"stored": 1, "unknown_items": [], "unknown_types": [], "too_old": 0}
    with httpx.Client(base_url=str(client.base_url)) as other:
        after = recommend(other, user)
    assert after["history"] == 1
    assert clicked not in ids(after)
    assert ids(after) != ids(before)
    assert sum(i.startswith("drama") for i in ids(after)) > sum(i.startswith("drama") for i in ids(before))


def test_a_session_in_the_request_counts_without_being_stored(client):
    """The next request does not have it."""
    with_session = recommend(client, "passing", session=[{"item_id": f"action-{i}"} for i in range(3)])
    assert with_session["history"] == 3
    assert sum(item.startswith("action") for item in ids(with_session)) >= 5
    assert recommend(client, "passing")["history"] == 0


def test_the_context_changes_the_slate_and_an_unknown_value_is_no_error(client):
    """Users take items with an even number on a mobile, so a mobile gets more of them."""

    def even(**context):
        return sum(int(item.split("-")[1]) % 2 == 0 for item in ids(recommend(client, "nobody", context=context)))

    assert even(device="mobile") > even() > even(device="desktop")
    assert even(device="abacus") == even()


def _named(address, text):
    """The paths that a page or a script names: styles, scripts and imported modules."""
    found = re.findall(r'(?:src|stylesheet" href|import .* from) ?=?"([^"]*)"', text)
    return {urljoin(address, name) for name in found}


def test_the_pages_and_their_files_come_from_this_host(client):
    """Each page, and each file that it names, is served with its type. No source is on another host, none is inline."""
    pages = [path for path in files.PATHS if "." not in path]
    assert {"/", "/docs"} <= {*pages}
    for path in pages:
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["referrer-policy"] == "no-referrer"
    named = set().union(*(_named(path, client.get(path).text) for path in files.PATHS if "swagger" not in path))
    assert named == files.PATHS - {*pages}
    for name in named:
        answer = client.get(name)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/css" if name.endswith(".css") else "text/javascript")
        assert answer.headers["x-content-type-options"] == "nosniff"
        if name.startswith("/pages/"):
            assert not re.search("innerHTML|insertAdjacentHTML", answer.text)
        if name.endswith(".css"):
            assert not re.search(r"@import|url\((?!['\"]?data:)", answer.text)
