"""The data of the Explorer over HTTP: search of items and users, a history, and a slate with its reasons."""

import pytest

USER = 4


def get(client, path, **query):
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def post(client, path, **body):
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_slate_is_that_of_recommend_with_the_reasons_of_explain(client):
    """One request has what /recommend and one /explain for each item return."""
    plain = post(client, "/recommend", user_id=USER, k=5, mode="realtime", log_impression=False)
    made = post(client, "/explorer/slate", user_id=USER, k=5, mode="realtime")
    assert made["slate"]["items"] == plain["items"]
    assert made["unexplained"] is None
    for item, reasons in zip(made["slate"]["items"], made["reasons"], strict=True):
        explained = post(client, "/explain", user_id=USER, k=5, mode="realtime", item_id=item["item_id"])["reasons"]
        assert [each["words"] for each in reasons[:3]] == explained[:3]


def test_first_reasons_differ_and_name_what_the_user_took(client):
    """What is the same for all candidates, such as the time since the newest event, is no reason."""
    user = 7
    taken = {event["title"] for event in get(client, f"/explorer/users/{user}")["newest"]}
    made = post(client, "/explorer/slate", user_id=user, k=10, mode="realtime")
    first = [reasons[0]["words"] for reasons in made["reasons"]]
    assert len(set(first)) >= 3, first
    words = [reason["words"] for reasons in made["reasons"] for reason in reasons]
    assert any(each == f"goes together with {title}" for title in taken for each in words), words


def test_candidates_that_are_left_out_have_a_reason(client):
    """An excluded item keeps its place among the candidates, and a sentence says why the slate lacks it."""
    first = post(client, "/explorer/slate", user_id=USER, k=3)["slate"]["items"][0]
    made = post(client, "/explorer/slate", user_id=USER, k=3, exclude=[first["item_id"]])
    left_out = {each["item_id"]: each for each in made["left_out"]}
    assert left_out[first["item_id"]]["reason"] == "excluded"
    assert left_out[first["item_id"]]["sentence"] == "The request excludes the item."
    assert sum(made["slate"]["removed"].values()) >= len(left_out)
    assert [each["place"] for each in made["left_out"]] == sorted(each["place"] for each in made["left_out"])


@pytest.mark.parametrize(
    ("method", "path", "sent", "field"),
    [
        ("GET", "/explorer/items", {"params": {"q": "x" * 201}}, "q"),
        ("GET", "/explorer/users", {"params": {"limit": "many"}}, "limit"),
        ("GET", "/explorer/items", {"params": {"text": "a"}}, "text"),
        ("POST", "/explorer/slate", {"json": {"user_ids": [1, 2]}}, "user_ids"),
        ("POST", "/explorer/slate", {"json": {"surface": "nowhere"}}, "surface"),
        ("GET", "/explorer/users/" + "x" * 257, {}, "user_id"),
    ],
)
def test_a_wrong_request_is_refused_with_its_field(client, method, path, sent, field):
    """422 with the field and a sentence."""
    answer = client.request(method, path, **sent)
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == field
