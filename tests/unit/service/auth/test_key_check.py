"""The key check of both doors over a fake recommender. `tests/service/test_keys.py` has every verb with every key."""

import asyncio
import gc
import logging
import weakref
from datetime import UTC, datetime
from typing import get_args

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from service.auth import key
from service.auth.grpc_key_check import GrpcKeyCheck
from service.auth.http_key_check import HttpKeyCheck
from service.auth.key_check import KeyCheck
from service.auth.key_file import KeyFile
from service.auth.rate_limits import RateLimits
from service.auth.tenants import USER_FIELDS, TenantCheck
from service.grpc.convert import SERVICE
from service.http.app import http_app
from service.http.door import HttpDoor
from service.http.endpoints import Endpoints
from service.http.openapi import openapi
from service.schema.verb_table import EVENTS, RECOMMEND, SIMILAR, VERBS, Scope
from tandem_client import Client, NotAllowed, Overloaded
from tandem_client.messages import request_of
from tests.fakes.fake_recommender import FakeRecommender, RpcServer
from tests.fakes.in_process import counted
from tests.fakes.issued_keys import IssuedKeys

NOW = datetime(2026, 11, 25, tzinfo=UTC).timestamp()
SLATE = {"user_id": "shop-1:7"}
ADMIN = "the admin port 127.0.0.1:3002"


@pytest.fixture
def keys(tmp_path):
    made = IssuedKeys(tmp_path / "keys.toml")
    made.add("reader", "read")
    made.add("writer", "write")
    made.add("operator", "admin")
    made.add("all", "read,write,admin")
    made.add("tenant", "read,write,admin", users="shop-1:")
    made.add("late", "read,write,admin", expires="2026-11-25")
    made.add("slow", "read", rate=0.5, burst=3)
    return made


@pytest.fixture
def key_check(keys, tmp_path):
    RateLimits.create(tmp_path / "limits")
    return KeyCheck(KeyFile(keys.path), RateLimits(tmp_path / "limits"), lambda: NOW)


@pytest.fixture
def recommender(key_check):
    return FakeRecommender(TenantCheck(key_check.limits))


@pytest.fixture
def endpoints(recommender):
    endpoints = Endpoints()
    endpoints.recommender = recommender
    return endpoints


@pytest.fixture
def public(endpoints, key_check):
    app = http_app(endpoints, key_check, admin_address=ADMIN)
    return TestClient(HttpDoor(PlainTextResponse("probe"), app, lambda: False))


@pytest.fixture
def admin(endpoints, key_check):
    return TestClient(http_app(endpoints, key_check, admin=True))


@pytest.fixture
def rpc(key_check, recommender):
    with RpcServer(recommender, key_check=GrpcKeyCheck(key_check, ADMIN)) as server:
        yield server


def http(client, headers=(), verb=RECOMMEND, body=SLATE):
    """The status and the error of a verb over HTTP."""
    answer = client.request(verb.method, verb.path, headers=list(headers), json=body)
    return answer.status_code, answer.json().get("error")


def call(server, metadata=(), verb=RECOMMEND, values=SLATE):
    """The status and the sentence of a verb over gRPC."""
    message = request_of(verb.rpc, values).SerializeToString()
    with grpc.insecure_channel(server.place) as channel:
        try:
            channel.unary_unary(f"/{SERVICE.full_name}/{verb.rpc}")(message, metadata=list(metadata), timeout=10)
        except grpc.RpcError as error:
            return error.code().name, error.details()
    return "OK", None


def bearer(text):
    return [("authorization", f"Bearer {text}")]


def test_all_requests_without_a_key_in_force_get_the_same_refusal(keys, public, admin, rpc, recommender):
    """At each door, for a missing, unknown, expired, malformed or doubled key; no request reaches the verb."""
    valid = keys.texts["all"]
    keyless = [[], *map(bearer, (key.generate().text, keys.texts["late"], "x", "", "x" * 5000))]
    keyless += [[*bearer(valid), ("x-api-key", valid)], bearer(valid) * 2, [("x-api-key", valid)] * 2]
    keyless += [[("authorization", f"Basic {valid}")], [("x-api-key", "")], [("key", valid)]]
    answers = [http(client, each) for client in (public, admin) for each in keyless]
    status, error = answers[0]
    assert status == 401
    assert answers == [answers[0]] * len(answers)
    assert [call(rpc, each) for each in keyless] == [("UNAUTHENTICATED", error["message"])] * len(keyless)
    assert recommender.requests == []


def test_the_scope_of_each_verb():
    """A changed scope opens a verb to other keys, or shuts keys out."""
    by_scope = {scope: {verb.name for verb in VERBS if verb.scope is scope} for scope in Scope}
    assert by_scope == {
        "read": {"recommend", "similar", "explain"},
        "write": {"events", "merge"},
        "admin": {"items", "item", "forget_item", "user", "forget", "status"},
    }


def test_a_key_is_sent_in_either_header(keys, public, rpc):
    """In any case of the scheme, and beside the authorization of a proxy."""
    text = keys.texts["reader"]
    for headers in (
        bearer(text),
        [("authorization", f"bearer {text}")],
        [("x-api-key", text)],
        [("authorization", "Basic YTpi"), ("x-api-key", text)],
    ):
        assert http(public, headers)[0] == 200
        assert call(rpc, headers)[0] == "OK"


def test_every_field_that_names_a_user_is_checked():
    """A verb with a new field of ids fails here until `TenantCheck` has an entry for the field."""

    def fields(model):
        for name, field in model.model_fields.items():
            if name in {"events", "items", "session"}:
                yield from fields(get_args(field.annotation)[0])
            elif str(-(2**63)) in repr(field):  # an `Id`
                yield name

    named = {name for verb in VERBS for name in fields(verb.takes)}
    assert named == {*USER_FIELDS, "user_ids", "item_id", "exclude"}


def test_a_request_without_a_user_is_open_to_a_tenant(keys, public):
    """Similar items need no user."""
    assert http(public, bearer(keys.texts["tenant"]), SIMILAR, {"item_id": "a"})[0] == 200


def test_a_path_of_the_admin_port_is_not_found_on_the_public_port(keys, public, admin):
    """The error names the admin port only to a key with the scope admin."""
    for path in ("/metrics", "/status", "/recommend/", "/x"):
        for name, end in (("reader", ""), ("all", f" Paths for operators are on {ADMIN}.")):
            answer = public.get(path, headers=dict(bearer(keys.texts[name])))
            assert answer.status_code == 404
            assert answer.json()["error"]["message"] == f"There is nothing at {path}.{end}"
        assert admin.get(path, headers=dict(bearer(keys.texts["reader"]))).status_code == 403


def test_reflection_needs_the_scope_admin(keys, rpc):
    """Without a key it is unauthenticated, and with another scope denied."""

    def listed(metadata):
        with grpc.insecure_channel(rpc.place) as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            try:
                return len(next(stub.ServerReflectionInfo(requests, metadata=metadata, timeout=10)).ListFields())
            except grpc.RpcError as error:
                return error.code().name

    assert listed([]) == "UNAUTHENTICATED"
    assert listed(bearer(keys.texts["reader"])) == "PERMISSION_DENIED"
    assert listed(bearer(keys.texts["operator"])) > 0


def test_an_unknown_method_is_unimplemented_with_a_key(keys, rpc):
    """Without a key it is unauthenticated, like every method."""
    with grpc.insecure_channel(rpc.place) as channel:
        for metadata, code in (([], "UNAUTHENTICATED"), (bearer(keys.texts["reader"]), "UNIMPLEMENTED")):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary("/tandem.v1.Recommender/Other")(b"", metadata=metadata, timeout=10)
            assert caught.value.code().name == code


def test_refusals_have_the_standard_headers(keys, public):
    """401 has www-authenticate; 429 has retry-after in whole seconds."""
    assert public.post("/recommend", json=SLATE).headers["www-authenticate"] == 'Bearer realm="tandem"'
    headers = dict(bearer(keys.texts["slow"]))
    answers = [public.post("/recommend", json=SLATE, headers=headers) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].headers["retry-after"] == "2"
    assert answers[-1].json()["error"]["code"] == "limited"


def test_both_doors_and_refused_requests_count_for_one_rate(keys, public, rpc):
    """Three requests use the burst of three: two are answered, one lacks the scope."""
    slow = bearer(keys.texts["slow"])
    assert http(public, slow)[0] == 200
    assert http(public, slow, EVENTS, {"events": [SLATE | {"item_id": "a"}]})[0] == 403
    assert call(rpc, slow)[0] == "OK"
    assert (http(public, slow)[0], call(rpc, slow)[0]) == (429, "RESOURCE_EXHAUSTED")
    client = Client(f"grpc://{rpc.place}", key=keys.texts["slow"], deadline=1.0)
    with client, pytest.raises(Overloaded, match=r"0\.5 requests a second") as caught:
        client.recommend("a")
    assert caught.value.retry_after > 1


def test_a_request_for_three_users_counts_three_times(keys, public, rpc):
    """A bulk request uses as much of a rate as single requests."""
    slow = bearer(keys.texts["slow"])
    assert http(public, slow, body={"user_ids": [1, 2, 3]})[0] == 200
    assert (http(public, slow)[0], call(rpc, slow)[0]) == (429, "RESOURCE_EXHAUSTED")


def test_the_body_of_a_request_without_a_key_is_not_parsed(public, rpc):
    """A wrong content type and a wrong message are unauthenticated, not invalid."""
    assert public.post("/recommend", content=b"{", headers={"content-type": "text/plain"}).status_code == 401
    assert call(rpc, values={"user_id": "x" * 300})[0] == "UNAUTHENTICATED"


def test_a_refused_request_is_not_kept_in_memory(key_check):
    """An exception that is raised again would keep the frames of each earlier request."""

    class Request:
        pass

    async def refused():
        request, messages = Request(), []

        async def send(message):
            messages.append(message)

        scope = {"type": "http", "method": "POST", "path": "/recommend", "raw_path": b"/recommend", "headers": []}
        await app(scope | {"request": request}, None, send)
        assert messages[0]["status"] == 401
        return weakref.ref(request)

    app = HttpKeyCheck(None, key_check, (), admin=False)
    references = [asyncio.run(refused()) for _ in range(3)]
    gc.collect()
    assert [reference() for reference in references] == [None] * 3


def test_refusals_are_counted_by_the_name_of_the_key(keys, public, caplog):
    """Without a key the name is empty. The log contains no key."""
    labels = [("unauthenticated", ""), ("unauthenticated", "late"), ("forbidden", "writer"), ("forbidden", "tenant")]

    def counts():
        return [counted("tandem_key_refused_total", code=code, key=name) for code, name in labels]

    before = counts()
    with caplog.at_level(logging.DEBUG):
        http(public)
        for name in ("late", "writer"):
            http(public, bearer(keys.texts[name]))
        http(public, bearer(keys.texts["tenant"]), body={"user_id": "b"})
    assert counts() == [count + 1 for count in before]
    assert not [text for text in keys.texts.values() if text in caplog.text]


def test_the_document_names_the_scope_of_each_verb(admin, keys):
    """Without keys the document has no scopes."""
    document = admin.get("/openapi.json", headers=dict(bearer(keys.texts["operator"]))).json()
    for verb in VERBS:
        operation = document["paths"][verb.path][verb.method.lower()]
        assert operation["security"][0]["bearer"] == [verb.scope]
    assert len(VERBS) == sum(len(methods) for methods in document["paths"].values())
    assert "securitySchemes" not in openapi()["components"]


def test_the_client_sends_its_key_and_does_not_show_it(keys, rpc):
    """A refusal is NotAllowed, without a retry; a text that can't be a key is refused by the constructor."""
    with Client(f"grpc://{rpc.place}", key=keys.texts["reader"]) as client:
        assert client.recommend("a").items
        with pytest.raises(NotAllowed, match="no scope write"):
            client.add_events([{"user_id": "a", "item_id": "b"}])
        assert keys.texts["reader"] not in repr(vars(client))
    with Client(f"grpc://{rpc.place}") as client, pytest.raises(NotAllowed, match="Send a key") as caught:
        client.recommend("a")
    assert caught.value.code == "unauthenticated"
    for wrong in ("", "a b", "a\n", "ü"):
        with pytest.raises(ValueError, match="as `service keys add` printed it"):
            Client("http://127.0.0.1:1", key=wrong)
