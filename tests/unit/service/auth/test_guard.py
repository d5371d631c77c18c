"""The key check of both doors: which key allows which verb, and what a refused request is answered."""

import asyncio
import gc
import logging
import weakref
from datetime import UTC, datetime
from typing import get_args
from urllib.parse import quote

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from service import doors
from service.auth import key, key_editor
from service.auth.grpc_guard import GrpcGuard
from service.auth.guard import SCOPES, KeyGuard, presented_key
from service.auth.http_guard import HttpGuard
from service.auth.key_file import KeyFile
from service.auth.rate_limits import RateLimits
from service.auth.tenants import USER_FIELDS, TenantCheck
from service.gateway import Gateway
from service.grpc.convert import SERVICE
from service.http.app import http_app
from service.http.door import HttpDoor
from service.http.endpoints import Endpoints
from service.http.openapi import openapi
from service.http.probes import PROBES
from service.schema import verbs
from service.verbs.calls import Calls
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
def guard(keys, tmp_path):
    RateLimits.create(tmp_path / "limits")
    return KeyGuard(KeyFile(keys.path), RateLimits(tmp_path / "limits"), lambda: NOW)


@pytest.fixture
def recommender():
    return FakeRecommender()


@pytest.fixture
def endpoints(guard, recommender):
    endpoints = Endpoints()
    endpoints.calls = Calls(recommender, TenantCheck(guard.limits))
    return endpoints


@pytest.fixture
def public(endpoints, guard):
    return TestClient(
        HttpDoor(PlainTextResponse("probe"), http_app(endpoints, guard, admin_address=ADMIN), lambda: False)
    )


@pytest.fixture
def admin(endpoints, guard):
    return TestClient(http_app(endpoints, guard, admin=True))


@pytest.fixture
def rpc(guard, recommender):
    with RpcServer(recommender, TenantCheck(guard.limits), guard=GrpcGuard(guard, ADMIN)) as server:
        yield server


BODIES = {
    verbs.RECOMMEND: SLATE,
    verbs.SIMILAR: {"item_id": "a", "user_id": "shop-1:7"},
    verbs.EXPLAIN: SLATE | {"item_id": "a"},
    verbs.EVENTS: {"events": [SLATE | {"item_id": "a"}]},
    verbs.ITEMS: {"items": [{"item_id": "a"}]},
    verbs.ITEM: {"item_id": "a"},
    verbs.FORGET_ITEM: {"item_id": "a"},
    verbs.USER: SLATE,
    verbs.FORGET: SLATE,
    verbs.MERGE: SLATE | {"into": "shop-1:8"},
    verbs.STATUS: {},
}


def http(client, verb, told=(), values=None):
    """The status and the error of a verb over HTTP."""
    values = BODIES[verb] if values is None else values
    told_in_body = {name: value for name, value in values.items() if f"{{{name}}}" not in verb.path}
    body = {"json": told_in_body} if verb.method in {"POST", "PUT"} else {}
    answer = client.request(verb.method, verb.path.format(**values), headers=list(told), **body)
    return answer.status_code, answer.json().get("error")


def call(server, verb, told=(), values=None):
    """The status and the sentence of a verb over gRPC."""
    message = request_of(verb.rpc, BODIES[verb] if values is None else values).SerializeToString()
    with grpc.insecure_channel(server.place) as channel:
        try:
            channel.unary_unary(f"/{SERVICE.full_name}/{verb.rpc}")(message, metadata=list(told), timeout=10)
        except grpc.RpcError as error:
            return error.code().name, error.details()
    return "OK", None


def bearer(text):
    return [("authorization", f"Bearer {text}")]


def test_every_verb_has_a_scope():
    """A new verb without an entry would need the scope admin."""
    assert {verb.rpc for verb in SCOPES} == set(SERVICE.methods_by_name)


@pytest.mark.parametrize("verb", SCOPES, ids=lambda verb: verb.rpc)
def test_each_verb_needs_a_key_of_its_scope(verb, keys, public, admin, rpc, recommender):
    """At each door; every request without a key in force gets the same answer and does not reach the verb."""
    scope = SCOPES[verb]
    keyless = [[], *map(bearer, (key.generate().text, keys.texts["late"], "x", "", "x" * 5000))]
    keyless += [[*bearer(keys.texts["all"]), ("x-api-key", keys.texts["all"])], bearer(keys.texts["all"]) * 2]
    keyless += [[("authorization", f"Basic {keys.texts['all']}")], [("x-api-key", "")], [("key", keys.texts["all"])]]
    told = [http(public, verb, each) for each in keyless] + [http(admin, verb, each) for each in keyless]
    assert {status for status, _ in told} == {401}
    assert [error for _, error in told] == [told[0][1]] * len(told)
    calls = [call(rpc, verb, each) for each in keyless]
    assert calls == [("UNAUTHENTICATED", told[0][1]["message"])] * len(keyless)
    names = {"reader": "read", "writer": "write", "operator": "admin", "all": scope}
    for name, its in names.items():
        right, of = its == scope, bearer(keys.texts[name])
        assert http(admin, verb, of)[0] == (200 if right else 403), name
        code, sentence = call(rpc, verb, of)
        if scope == "admin":
            assert http(public, verb, of)[0] == 404
            assert code == "PERMISSION_DENIED"
            assert (ADMIN in sentence) == right
        else:
            assert http(public, verb, of)[0] == (200 if right else 403), name
            assert code == ("OK" if right else "PERMISSION_DENIED"), name
    recommender.asked.clear()
    for each in keyless[:3]:
        http(public, verb, each)
        call(rpc, verb, each)
    assert recommender.asked == []


def test_a_key_is_sent_in_either_header(keys, public, rpc):
    """In any case of the scheme, and beside a proxy's own authorization; two keys count as none."""
    text = keys.texts["reader"]
    for told in (
        bearer(text),
        [("authorization", f"bearer {text}")],
        [("x-api-key", text)],
        [("authorization", "Basic YTpi"), ("x-api-key", text)],
    ):
        assert http(public, verbs.RECOMMEND, told)[0] == 200
        assert call(rpc, verbs.RECOMMEND, told)[0] == "OK"
    assert presented_key([(b"x-api-key", b"a"), (b"x-api-key", b"a")]) is None


OTHERS = {
    "user_id": (verbs.RECOMMEND, {"user_id": "shop-2:7"}),
    "user_ids.1": (verbs.RECOMMEND, {"user_ids": ["shop-1:7", "shop-10:7"]}),
    "similar": (verbs.SIMILAR, {"item_id": "a", "user_id": 7}),
    "explain": (verbs.EXPLAIN, {"user_id": "shop-1", "item_id": "a"}),
    "events.1.user_id": (verbs.EVENTS, {"events": [SLATE | {"item_id": "a"}, {"user_id": 7, "item_id": "a"}]}),
    "user": (verbs.USER, {"user_id": "shop-2:7"}),
    "forget": (verbs.FORGET, {"user_id": "Shop-1:7"}),
    "user_id of merge": (verbs.MERGE, {"user_id": "shop-2:7", "into": "shop-1:7"}),
    "into": (verbs.MERGE, {"user_id": "shop-1:7", "into": "shop-2:7"}),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_tenants_key_names_no_user_of_another_tenant(case, keys, public, admin, rpc, recommender):
    """In each field that names a user; the error has that field, the same at both doors."""
    verb, values = OTHERS[case]
    field = case if case.startswith(("user_ids", "events", "into")) else "user_id"
    doors = [admin] if SCOPES[verb] == "admin" else [admin, public]
    for client in doors:
        status, error = http(client, verb, bearer(keys.texts["tenant"]), values)
        assert (status, error["code"], error["field"]) == (403, "forbidden", field)
        assert "'shop-1:'" in error["message"]
        assert http(client, verb, bearer(keys.texts["tenant"]))[0] == 200
        assert http(client, verb, bearer(keys.texts["all"]), values)[0] == 200
    if len(doors) > 1:
        assert call(rpc, verb, bearer(keys.texts["tenant"]), values) == ("PERMISSION_DENIED", error["message"])
        assert call(rpc, verb, bearer(keys.texts["tenant"]))[0] == "OK"
    assert call(rpc, verb, bearer(keys.texts["tenant"]), values)[0] == "PERMISSION_DENIED"


def test_every_field_that_names_a_user_is_checked():
    """A verb with a new field of ids fails here until `TenantCheck` knows whether the field names users."""

    def fields(model):
        for name, field in model.model_fields.items():
            if name in {"events", "items", "session"}:
                yield from fields(get_args(field.annotation)[0])
            elif str(-(2**63)) in repr(field):  # an `Id`
                yield name

    named = {name for verb in SCOPES for name in fields(verb.takes)}
    assert named == {*USER_FIELDS, "user_ids", "item_id", "exclude"}


def test_a_request_without_a_user_is_open_to_a_tenant(keys, public):
    """Similar items need no user."""
    assert http(public, verbs.SIMILAR, bearer(keys.texts["tenant"]), {"item_id": "a"})[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/openapi.json", "/", "/status", "/items", "/users/a", "/users/{user_id}/merge", "/recommend/", "/x"],
)
def test_other_paths_are_not_on_the_public_port(path, keys, public, admin):
    """401 without a key; with a key 404. With the scope admin the error names the admin port."""
    assert public.get(path).status_code == 401
    for name in ("reader", "all"):
        answer = public.get(path, headers=dict(bearer(keys.texts[name])))
        assert answer.status_code == 404
        elsewhere = f" Paths for operators are on {ADMIN}." if name == "all" else ""
        assert answer.json()["error"]["message"] == f"There is nothing at {quote(path)}.{elsewhere}"
    assert admin.get(path, headers=dict(bearer(keys.texts["reader"]))).status_code == (200 if path == "/" else 403)
    assert admin.get(path).status_code == (200 if path == "/" else 401)


def test_the_app_as_bentoml_runs_it_asks_for_a_key(guard, monkeypatch, keys):
    """`Gateway.to_asgi()`: each of its routes and each verb is refused, and with a key a verb is reached."""
    monkeypatch.setattr(doors, "key_guard", lambda: guard)
    app = Gateway.to_asgi()
    client = TestClient(app)
    paths = {route.path or "/" for route in app.routes} - set(PROBES)
    assert {path for path in paths if client.get(path).status_code != 401} == set()
    assert {verb for verb in SCOPES if http(client, verb)[0] != 401} == set()
    assert http(client, verbs.RECOMMEND, bearer(keys.texts["reader"]))[1]["code"] == "not_ready"


def test_a_probe_needs_no_key(public, rpc):
    """The probes of HTTP and the health service of gRPC answer without one."""
    assert [public.get(path).text for path in PROBES] == ["probe"] * len(PROBES)
    with grpc.insecure_channel(rpc.place) as channel:
        told = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert told.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_needs_the_scope_admin(keys, rpc):
    """Without a key it is unauthenticated, and with another scope denied."""

    def listed(told):
        with grpc.insecure_channel(rpc.place) as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            requests = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            try:
                return len(next(stub.ServerReflectionInfo(requests, metadata=told, timeout=10)).ListFields())
            except grpc.RpcError as error:
                return error.code().name

    assert listed([]) == "UNAUTHENTICATED"
    assert listed(bearer(keys.texts["reader"])) == "PERMISSION_DENIED"
    assert listed(bearer(keys.texts["operator"])) > 0


def test_an_unknown_method_is_unimplemented_with_a_key(keys, rpc):
    """Without a key it is unauthenticated, like every method."""
    with grpc.insecure_channel(rpc.place) as channel:
        for told, code in (([], "UNAUTHENTICATED"), (bearer(keys.texts["reader"]), "UNIMPLEMENTED")):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary("/tandem.v1.Recommender/Other")(b"", metadata=told, timeout=10)
            assert caught.value.code().name == code


def test_a_websocket_is_refused(public):
    """No door speaks WebSocket."""
    with pytest.raises((WebSocketDisconnect, WebSocketDenialResponse)), public.websocket_connect("/recommend"):
        pass


def test_refusals_have_the_standard_headers(keys, public):
    """401 has www-authenticate; 429 has retry-after in whole seconds."""
    told = public.post("/recommend", json=SLATE)
    assert told.headers["www-authenticate"] == 'Bearer realm="tandem"'
    of = dict(bearer(keys.texts["slow"]))
    answers = [public.post("/recommend", json=SLATE, headers=of) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].headers["retry-after"] == "2"
    assert answers[-1].json()["error"]["code"] == "limited"


def test_both_doors_and_refused_requests_count_for_one_rate(keys, public, rpc, recommender):
    """Three requests use the burst of three: two are answered, one lacks the scope."""
    told = bearer(keys.texts["slow"])
    assert http(public, verbs.RECOMMEND, told)[0] == 200
    assert http(public, verbs.EVENTS, told)[0] == 403
    assert call(rpc, verbs.RECOMMEND, told)[0] == "OK"
    assert call(rpc, verbs.RECOMMEND, told)[0] == "RESOURCE_EXHAUSTED"
    assert http(public, verbs.RECOMMEND, told)[0] == 429
    client = Client(f"grpc://{rpc.place}", key=keys.texts["slow"], deadline=1.0)
    with client, pytest.raises(Overloaded, match=r"0\.5 requests a second") as caught:
        client.recommend("a")
    assert caught.value.retry_after > 1


def test_a_request_for_three_users_counts_three_times(keys, public, rpc):
    """A bulk request uses as much of a rate as single requests."""
    told = bearer(keys.texts["slow"])
    assert http(public, verbs.RECOMMEND, told, {"user_ids": [1, 2, 3]})[0] == 200
    assert (http(public, verbs.RECOMMEND, told)[0], call(rpc, verbs.RECOMMEND, told)[0]) == (429, "RESOURCE_EXHAUSTED")


def test_an_added_or_revoked_key_needs_no_restart(keys, guard, public, rpc):
    """It takes effect with the next check of the file, on open connections too."""
    new = bearer(keys.add("new", "read"))
    assert http(public, verbs.RECOMMEND, new)[0] == 401
    guard.keys.refresh()
    assert (http(public, verbs.RECOMMEND, new)[0], call(rpc, verbs.RECOMMEND, new)[0]) == (200, "OK")
    key_editor.revoke(keys.path, "new")
    guard.keys.refresh()
    assert (http(public, verbs.RECOMMEND, new)[0], call(rpc, verbs.RECOMMEND, new)[0]) == (401, "UNAUTHENTICATED")


def test_the_body_of_a_request_without_a_key_is_not_parsed(public, rpc):
    """A wrong content type and a wrong message are unauthenticated, not invalid."""
    assert public.post("/recommend", content=b"{", headers={"content-type": "text/plain"}).status_code == 401
    assert call(rpc, verbs.RECOMMEND, values={"user_id": "x" * 300})[0] == "UNAUTHENTICATED"


def test_a_refused_request_is_not_kept_in_memory(guard):
    """An exception that is raised again would keep the frames of each earlier request."""

    class Sent:
        pass

    async def ask():
        sent, told = Sent(), []

        async def send(message):
            told.append(message)

        scope = {"type": "http", "method": "POST", "path": "/recommend", "raw_path": b"/recommend", "headers": []}
        scope["sent"] = sent
        await app(scope, None, send)
        assert told[0]["status"] == 401
        return weakref.ref(sent)

    app = HttpGuard(None, guard, (), admin=False)
    kept = [asyncio.run(ask()) for _ in range(3)]
    gc.collect()
    assert [each() for each in kept] == [None] * 3


def test_refusals_are_counted_by_the_name_of_the_key(keys, public, caplog):
    """Without a key the name is empty. The log contains no key."""

    def refused(code, name):
        return counted("tandem_key_refused_total", code=code, key=name)

    wanted = [("unauthenticated", ""), ("unauthenticated", "late"), ("forbidden", "writer"), ("forbidden", "tenant")]
    before = [refused(*each) for each in wanted]
    with caplog.at_level(logging.DEBUG):
        http(public, verbs.RECOMMEND)
        for name in ("late", "writer"):
            http(public, verbs.RECOMMEND, bearer(keys.texts[name]))
        http(public, verbs.RECOMMEND, bearer(keys.texts["tenant"]), {"user_id": "b"})
    assert [refused(*each) for each in wanted] == [count + 1 for count in before]
    assert not [text for text in keys.texts.values() if text in caplog.text]


def test_the_document_says_which_scope_a_verb_needs(admin, keys):
    """The scopes are those of the key check; without keys the document has none."""
    document = admin.get("/openapi.json", headers=dict(bearer(keys.texts["operator"]))).json()
    told = {
        verb: document["paths"][verb.path][verb.method.lower()]["security"][0]["bearer"] == [scope]
        for verb, scope in SCOPES.items()
    }
    assert all(told.values())
    assert len(told) == sum(len(methods) for methods in document["paths"].values())
    assert "securitySchemes" not in openapi()["components"]


def test_the_client_sends_its_key_and_does_not_show_it(keys, rpc):
    """A refusal is NotAllowed, without a retry; a text that is no key is refused by the constructor."""
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
