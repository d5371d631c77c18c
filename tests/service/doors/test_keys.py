"""A deployment with keys and two gateway processes: the rights of each key at each door, and where keys are stored."""

import json
import re
import threading
from contextlib import contextmanager, suppress
from typing import get_args

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from service.auth import key, key_editor
from service.auth.keyring import KeyRecord
from service.auth.tenants import USER_FIELDS
from service.gateway import Gateway
from service.grpc.convert import SERVICE
from service.grpc.tandem.v1 import recommender_pb2
from service.http.app import http_app
from service.http.endpoints import Endpoints
from service.http.page_data.operations_page import OperationsPage
from service.http.paths import PROBES
from service.pages import files
from service.schema import verb_table
from service.schema.verb_table import VERBS, Scope
from tandem_client import Client, NotAllowed, Overloaded
from tandem_client.messages import request_of
from tests.fakes.issued_keys import IssuedKeys
from tests.servers.deployment import IN_A_ROW, Deployment, descendants, free_port, wait_for

OWN, OTHERS = "shop-1:ann", "shop-2:bob"
GATEWAYS, CLIENTS = 2, 50
UNKNOWN_RPC = f"/{SERVICE.full_name}/Other"
RATE, BURST = 20, 30


def send(method, url, **more):
    """A request on a connection of its own, which either process may accept; httpx reads no certificates for it."""
    return httpx.request(method, url, timeout=30, verify=False, **more)


class Keyed(IssuedKeys):
    """A deployment, its file of keys, and all keys by name."""

    def __init__(self, home, url):
        super().__init__(home / "keys.toml")
        self.home = home
        self.add("reader", "read")
        self.add("writer", "write")
        self.add("operator", "admin")
        self.add("all", "read,write,admin")
        self.add("tenant", "read,write,admin", users="shop-1:")
        self.add("expired", "read,write,admin", expires="2026-01-01")
        self.add("slow", "read", rate=RATE, burst=BURST)
        self.add("few", "read", rate=0.01, burst=3)
        self.add("few-users", "read", rate=0.01, burst=3)
        self.add("revoked", "read,write,admin")
        self.texts["wrong"] = key.generate().text
        port = free_port()
        self.admin = f"http://127.0.0.1:{port}"
        self.deployment = Deployment(
            home,
            home / "service.log",
            REDIS_URL=url,
            TANDEM_KEYS=str(self.path),
            TANDEM_ADMIN_PORT=str(port),
            TANDEM_GATEWAY_WORKERS=str(GATEWAYS),
            TANDEM_TOPOLOGY="inline",
            OTEL_TRACES_EXPORTER="console",
        )

    def http(self, verb, name, user=OWN, admin=False, values=None):
        """The status, the code of the error and its field."""
        values = values or values_of(verb, user)
        values = {part: value for part, value in values.items() if f"{{{part}}}" not in verb.path}
        body = {"json": values} if verb.method in {"POST", "PUT"} else {}
        path = verb.path.format(user_id=user, item_id="drama-1")
        base = self.admin if admin else self.deployment.url
        answer = send(verb.method, base + path, headers=self.headers(name), **body)
        error = answer.json().get("error", {})
        return answer.status_code, error.get("code"), error.get("field")

    def grpc(self, verb, name, user=OWN, values=None):
        """The same over gRPC."""
        message = request_of(verb.rpc, values or values_of(verb, user)).SerializeToString()
        with grpc.insecure_channel(self.deployment.grpc) as channel:
            try:
                method = channel.unary_unary(f"/{SERVICE.full_name}/{verb.rpc}")
                method(message, metadata=self.headers(name), timeout=30)
            except grpc.RpcError as error:
                body = json.loads(dict(error.trailing_metadata())["tandem-error-bin"])
                return error.code().name, body["code"], body.get("field")
        return "OK", None, None

    def edits(self):
        """How often a gateway process read an edit of the file."""
        return self.deployment.log.read_text().count(f"Keys of {self.path} are in force.")

    def gateways(self):
        """The number of gateway processes that run. The store also has the processes of other deployments."""
        processes = send("GET", f"{self.admin}/status", headers=self.headers("operator")).json()["processes"]
        roles = {int(pid): role for role, _, pid in (each["name"].split() for each in processes)}
        return sum(roles.get(pid) == "gateway" for pid in descendants(self.deployment.process.pid))

    def headers(self, name):
        """The header of a key with this name; none for None. A list of headers is returned as it is."""
        return name if isinstance(name, list) else bearer(self.texts[name]) if name else []


def bearer(text):
    return [("authorization", f"Bearer {text}")]


def values_of(verb, user):
    item = {"item_id": "drama-1"}
    return {
        verb_table.RECOMMEND: {"user_id": user},
        verb_table.SIMILAR: item | {"user_id": user},
        verb_table.EXPLAIN: item | {"user_id": user},
        verb_table.RANK: {"items": ["drama-1"], "user_id": user},
        verb_table.EVENTS: {"events": [item | {"user_id": user}]},
        verb_table.ITEMS: {"items": [item]},
        verb_table.ITEM: item,
        verb_table.FORGET_ITEM: item,
        verb_table.USER: {"user_id": user},
        verb_table.FORGET: {"user_id": user},
        verb_table.MERGE: {"user_id": user, "into": f"{user}-login"},
        verb_table.STATUS: {},
    }[verb]


@contextmanager
def edited(keyed):
    """Return after both gateway processes have read the edit: many answers in a row may be of one process."""
    before = keyed.edits()
    yield
    wait_for(lambda: keyed.edits() >= before + GATEWAYS)


@pytest.fixture(scope="module")
def keyed(published, embedded_url, tmp_path_factory):
    made = Keyed(tmp_path_factory.mktemp("keyed"), embedded_url)
    with made.deployment:
        wait_for(lambda: made.http(verb_table.RECOMMEND, "revoked")[0] == 200)  # with cores for it, at once
        wait_for(lambda: made.gateways() == GATEWAYS)
        with edited(made):
            key_editor.revoke(made.path, "revoked")
        yield made


NOT_IN_FORCE = [None, "wrong", "revoked", "expired"]
IN_FORCE = ["reader", "writer", "operator", "tenant", "other tenant's user", "all"]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.rpc)
@pytest.mark.parametrize("name", [*NOT_IN_FORCE, *IN_FORCE])
def test_the_matrix(keyed, verb, name):
    """Each kind of key with each verb, at the public port, the admin port and the gRPC port."""
    scope, user = verb.scope, OWN
    is_public = scope is not Scope.ADMIN
    if name in NOT_IN_FORCE:
        admin = public = (401, "unauthenticated", None)
        rpc = ("UNAUTHENTICATED", "unauthenticated", None)
    else:
        right, field = True, None
        if name in {"reader", "writer", "operator"}:
            right = scope == {"reader": "read", "writer": "write", "operator": "admin"}[name]
        elif name == "other tenant's user" and verb not in (
            verb_table.ITEMS,
            verb_table.ITEM,
            verb_table.FORGET_ITEM,
            verb_table.STATUS,
        ):
            right, field = False, "events.0.user_id" if verb is verb_table.EVENTS else "user_id"
        name, user = ("tenant", OTHERS) if name == "other tenant's user" else (name, OWN)
        admin = (200, None, None) if right else (403, "forbidden", field)
        public = admin if is_public else (404, "not_found", None)
        rpc = ("OK", None, None) if right and is_public else ("PERMISSION_DENIED", "forbidden", field)
        if not is_public:
            rpc = ("PERMISSION_DENIED", "forbidden", None)
    assert keyed.http(verb, name, user) == public
    assert keyed.http(verb, name, user, admin=True) == admin
    assert keyed.grpc(verb, name, user) == rpc


OTHER_USERS = [
    (verb_table.RECOMMEND, {"user_ids": [OWN, "shop-10:7"]}, "user_ids.1"),
    (verb_table.SIMILAR, {"item_id": "drama-1", "user_id": 7}, "user_id"),
    (verb_table.EXPLAIN, {"item_id": "drama-1", "user_id": "shop-1"}, "user_id"),
    (verb_table.EVENTS, {"events": [{"user_id": user, "item_id": "drama-1"} for user in (OWN, 7)]}, "events.1.user_id"),
    (verb_table.MERGE, {"user_id": OWN, "into": OTHERS}, "into"),
]


@pytest.mark.parametrize(("verb", "values", "field"), OTHER_USERS, ids=[case[2] for case in OTHER_USERS])
def test_a_tenants_key_names_no_user_of_another_tenant(keyed, verb, values, field):
    """In each field that names a user, the same at both doors. A prefix of the tenant's prefix is another tenant."""
    refusal = ("forbidden", field)
    assert keyed.http(verb, "tenant", values=values) == (403, *refusal)
    assert keyed.grpc(verb, "tenant", values=values) == ("PERMISSION_DENIED", *refusal)
    assert keyed.http(verb, "all", values=values)[0] == 200


def rpcs(*files):
    """The paths of all methods that these proto files describe."""
    services = [service for file in files for service in file.services_by_name.values()]
    return {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}


def outcome(keyed, path, name=None):
    """The status of a call of any method with an empty message, on a connection of its own."""
    with grpc.insecure_channel(keyed.deployment.grpc, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        answers = channel.stream_stream(path)(iter([b""]), metadata=keyed.headers(name), timeout=30)
        try:
            next(answers)
            answers.cancel()
        except grpc.RpcError as error:
            return error.code().name
    return "OK"


def test_without_a_key_every_rpc_but_health_is_refused(keyed):
    """The methods are read from the descriptors, so that a new method is covered. Each is called at every process."""
    health, others = rpcs(health_pb2.DESCRIPTOR), rpcs(recommender_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR)
    assert len(health) == 2
    assert len(others) == len(VERBS) + 1
    codes = {path: {outcome(keyed, path) for _ in range(IN_A_ROW)} for path in [*health, *others, UNKNOWN_RPC]}
    expected = {path: {"OK"} for path in health} | {path: {"UNAUTHENTICATED"} for path in [*others, UNKNOWN_RPC]}
    assert codes == expected


def test_every_wrong_way_to_send_a_key_gets_one_refusal(keyed):
    """Malformed and doubled keys, another scheme, another header: one sentence, before the body is read."""
    valid = keyed.texts["all"]
    wrong = [[], *map(bearer, (keyed.texts["expired"], "x", "x" * 5_000))]
    wrong += [[*bearer(valid), ("x-api-key", valid)], bearer(valid) * 2, [("x-api-key", valid)] * 2]
    wrong += [[("authorization", other)] for other in ("Bearer", f"Basic {valid}")]
    wrong += [[("x-api-key", "")], [("key", valid)]]
    answers = [send("POST", f"{keyed.deployment.url}/recommend", headers=each, content=b"{") for each in wrong]
    found = {(each.status_code, each.headers["www-authenticate"], each.json()["error"]["message"]) for each in answers}
    [(status, header, sentence)] = found
    assert (status, header) == (401, 'Bearer realm="tandem"')
    refusals = {keyed.grpc(verb_table.RECOMMEND, each, values={"user_id": "x" * 300}) for each in wrong}
    assert refusals == {("UNAUTHENTICATED", "unauthenticated", None)}
    with Client(keyed.deployment.url) as client, pytest.raises(NotAllowed, match=re.escape(sentence)):
        client.recommend(OWN)


def test_the_scope_of_each_verb(keyed):
    """A changed scope opens a verb to other keys, or shuts keys out. The OpenAPI document names the scopes."""
    by_scope = {scope: {verb.name for verb in VERBS if verb.scope is scope} for scope in Scope}
    assert by_scope == {
        "read": {"recommend", "similar", "explain", "rank"},
        "write": {"events", "merge"},
        "admin": {"items", "item", "forget_item", "user", "forget", "status"},
    }
    document = send("GET", f"{keyed.admin}/openapi.json", headers=keyed.headers("operator")).json()
    for verb in VERBS:
        assert document["paths"][verb.path][verb.method.lower()]["security"][0]["bearer"] == [verb.scope]


def test_every_field_that_names_a_user_is_checked():
    """A verb with a new field of ids fails here until `TenantCheck` has an entry for the field."""

    def fields(model):
        for name, field in model.model_fields.items():
            if hasattr(entry := next(iter(get_args(field.annotation)), None), "model_fields"):
                yield from fields(entry)
            elif str(-(2**63)) in repr(field):  # an `Id`
                yield name

    named = {name for verb in VERBS for name in fields(verb.takes)}
    assert named == {*USER_FIELDS, "user_ids", "item_id", "items", "exclude"}


def test_refused_requests_and_each_user_count_for_a_rate(keyed):
    """At both doors together: a burst of three is two slates and a request without the scope, or three users."""
    assert keyed.http(verb_table.RECOMMEND, "few")[0] == 200
    assert keyed.http(verb_table.EVENTS, "few")[0] == 403
    assert keyed.grpc(verb_table.RECOMMEND, "few")[0] == "OK"
    assert keyed.http(verb_table.RECOMMEND, "few-users", values={"user_ids": [1, 2, 3]})[0] == 200
    for name in ("few", "few-users"):
        body, headers = values_of(verb_table.RECOMMEND, OWN), keyed.headers(name)
        refused = send("POST", f"{keyed.deployment.url}/recommend", json=body, headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "limited")
        assert int(refused.headers["retry-after"]) > 1
        assert keyed.grpc(verb_table.RECOMMEND, name)[0] == "RESOURCE_EXHAUSTED"


def test_refusals_are_counted_by_the_name_of_the_key(keyed):
    """Without a key the name is empty."""
    refusals = {None: "unauthenticated", "expired": "unauthenticated", "writer": "forbidden", "tenant": "forbidden"}

    def counts():
        return [
            metric(keyed, f'tandem_key_refused_total{{code="{code}",key="{name or ""}"}}')
            for name, code in refusals.items()
        ]

    before = counts()
    for name in refusals:
        keyed.http(verb_table.RECOMMEND, name, OTHERS)
    assert counts() == [count + 1 for count in before]


def test_the_client_does_not_show_its_key(keyed):
    """A refusal is NotAllowed, without a retry; a text that can't be a key is refused by the constructor."""
    with Client(keyed.deployment.url, key=keyed.texts["reader"]) as client:
        with pytest.raises(NotAllowed, match="no scope write"):
            client.add_events([{"user_id": "a", "item_id": "b"}])
        assert keyed.texts["reader"] not in repr(vars(client))
    for wrong in ("", "a b", "a\n", "ü"):
        with pytest.raises(ValueError, match="as `service keys add` printed it"):
            Client("http://127.0.0.1:1", key=wrong)


def paths_of(routes):
    """The method and a path of each route; a mount is called by a GET of its path."""
    for route in routes:
        path = re.sub("{[^}]+}", "drama-1", getattr(route, "path_format", route.path))
        for method in getattr(route, "methods", None) or ["GET"]:
            yield method, path or "/"


def test_no_route_answers_without_a_key(keyed):
    """Every route of our apps and of BentoML's, at both HTTP ports: 401 for all but the probes and the page."""
    ours = set(paths_of(http_app(Endpoints(), None, page_routes=OperationsPage().routes()).routes))
    bentoml = set(paths_of(Gateway.to_asgi().routes))
    assert {("PUT", "/items"), ("GET", "/docs.json")} <= ours | bentoml
    for method, path in ours | bentoml:
        for headers in ([], keyed.headers("wrong")):
            public = send(method, keyed.deployment.url + path, headers=headers).status_code
            assert (public == 401) == (path not in PROBES), (method, path)
            admin = send(method, keyed.admin + path, headers=headers).status_code
            assert (admin == 401) == (path not in files.PATHS), (method, path)


def test_paths_for_operators_are_only_on_the_admin_port(keyed):
    """The public port answers 404 for them, which names the admin port to an operator alone, and serves the probes."""
    pages = files.PATHS
    port = f" Paths for operators are on the admin port {keyed.admin.removeprefix('http://')}."
    for name, more in (("reader", ""), ("operator", port)):
        error = send("GET", keyed.deployment.url + "/status", headers=keyed.headers(name)).json()["error"]
        assert error["message"] == f"There is nothing at /status.{more}"
    for path in ("/metrics", "/openapi.json", *pages, "/status", "/docs.json", "/schema.json"):
        headers = keyed.headers("all")
        assert send("GET", keyed.deployment.url + path, headers=headers).status_code == 404
        here = send("GET", keyed.admin + path, headers=headers).status_code
        assert here == (404 if path in {"/docs.json", "/schema.json"} else 200)
        assert send("GET", keyed.admin + path).status_code == (200 if path in pages else 401)
    for path in ("/livez", "/readyz", "/healthz"):
        assert send("GET", keyed.deployment.url + path).status_code == 200


def test_a_key_is_rotated_without_a_restart(keyed):
    """Two keys of one name are in force together, then the new one alone, and no request fails meanwhile."""
    with edited(keyed):
        old = keyed.add("app", "read")
    ended, failed = threading.Event(), []

    def go_on():
        while not ended.is_set():
            failed.extend({keyed.http(verb_table.RECOMMEND, "app"), keyed.grpc(verb_table.RECOMMEND, "app")} - fine)

    fine = {(200, None, None), ("OK", None, None)}
    caller = threading.Thread(target=go_on)
    caller.start()
    new = key.generate()
    values = {"id": new.id, "name": "app", "sha256": new.sha256, "scopes": ["read"]}
    with edited(keyed):
        key_editor.add(keyed.path, KeyRecord.model_validate(values))
    keyed.texts["app, old"], keyed.texts["app"] = old, new.text
    ended.set()
    caller.join()
    with edited(keyed):
        key_editor.revoke(keyed.path, "app", key.id_of(old.encode()))
    for _ in range(IN_A_ROW):
        assert keyed.http(verb_table.RECOMMEND, "app, old")[0] == 401
        assert keyed.grpc(verb_table.RECOMMEND, "app, old")[0] == "UNAUTHENTICATED"
        assert keyed.http(verb_table.RECOMMEND, "app")[0] == 200
    assert failed == []


def metric(keyed, name):
    text = send("GET", f"{keyed.admin}/metrics", headers=keyed.headers("operator")).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


def test_a_file_that_is_wrong_keeps_the_keys_before(keyed):
    """The log and a metric show the fault until the file is valid again."""
    text = keyed.path.read_text()
    keyed.path.write_text(text + '[[key]]\nid = "' + keyed.texts["reader"] + '"\n')
    try:
        wait_for(lambda: metric(keyed, "tandem_keys_wrong") == 1)
        assert keyed.http(verb_table.RECOMMEND, "reader")[0] == 200
    finally:
        keyed.path.write_text(text)
    wait_for(lambda: metric(keyed, "tandem_keys_wrong") == 0)
    assert "The previous keys stay in force." in keyed.deployment.log.read_text()


def test_no_key_is_left_anywhere(keyed):
    """The log, its traces and the files of the home have none, also after requests with a key in a wrong place."""
    for name, text in keyed.texts.items():
        odd = {
            "x-api-key": text,
            "cookie": f"key={text}",
            "traceparent": text,
            "baggage": text,
            "x-deadline-ms": text,
            "user-agent": text,
        }
        send("POST", f"{keyed.deployment.url}/recommend?key={text}", json={"user_id": "a"}, headers=odd)
        send("GET", f"{keyed.admin}/status?key={text}", headers=[*keyed.headers(name), *odd.items()])
        with Client(f"grpc://{keyed.deployment.grpc}", key=text) as client, suppress(NotAllowed, Overloaded):
            client.recommend(OWN, k=3)
        with grpc.insecure_channel(keyed.deployment.grpc) as channel, suppress(grpc.RpcError):
            channel.unary_unary(f"/{SERVICE.full_name}/{text}")(b"", timeout=30)
    assert keyed.deployment.stop() == 0
    log = keyed.deployment.log.read_text()
    assert "tandem.v1.Recommender/Recommend" in log  # the traces are there
    files = [path for path in keyed.home.rglob("*") if path.is_file()]
    assert keyed.path in files
    for text in keyed.texts.values():
        secret = text.rpartition("_")[2].encode()
        assert [path for path in files if secret in path.read_bytes()] == []
