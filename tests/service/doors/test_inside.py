"""The ports and sockets that a deployment opens, and pickles that are sent to them."""

import grpc
import httpx
import pytest

from tests.edge import pickles, sockets
from tests.servers.deployment import descendants


@pytest.fixture(scope="module")
def opened(deployment):
    addresses, paths = sockets.listening(deployment.process.pid)
    return {port for _, port in addresses}, paths


def test_only_the_doors_listen_on_a_port(deployment, opened):
    """BentoML's process manager has no port for commands. The sockets of the backends are in a folder of this user."""
    ports, paths = opened
    assert ports == {deployment.port, deployment.grpc_port}
    assert len(paths) == 2
    for path in paths:
        folder = pickles.Path(path).parent.stat()
        assert folder.st_mode & 0o077 == 0


def test_a_pickle_is_executed_nowhere(deployment, opened, tmp_path):
    """At every socket, with every header of BentoML. The backends still answer rows."""
    canary = pickles.Canary(tmp_path / "canary")
    ports, paths = opened
    statuses = {}
    for place in (deployment.port, *paths):
        for request in pickles.requests(canary):
            status = pickles.send(place, request)[9:12]
            statuses.setdefault(place, set()).add(status)
        assert not canary.path.exists(), place
    for place in (*ports, *paths):
        for data, _ in canary.bodies():
            pickles.send(place, data, 0.2)
    with grpc.insecure_channel(deployment.grpc) as channel:
        for method in ("tandem.v1.Recommender/Recommend", "bentoml.grpc.v1.BentoService/Call"):
            for data, more in canary.bodies():
                with pytest.raises(grpc.RpcError):
                    channel.unary_unary(f"/{method}")(data, metadata=list(more.items()), timeout=5)
    assert not canary.path.exists()
    for path in paths:
        assert statuses[path] <= {b"200", b"400", b"404", b"405"}, statuses[path]  # 200: probes, which read no body
    answer = httpx.post(f"{deployment.url}/recommend", json={"user_id": "you", "mode": "realtime"}).json()
    assert answer["degraded"] == []
    assert deployment.process.poll() is None
    assert descendants(deployment.process.pid)


def test_the_canary_is_a_pickle_that_bentoml_would_execute(tmp_path):
    """It writes its file when BentoML deserializes it."""
    canary = pickles.Canary(tmp_path / "canary")
    import pickle

    from _bentoml_impl.serde import Payload, PickleSerde

    for data, more in canary.bodies():
        PickleSerde().deserialize_value(Payload((data,), more))
        assert canary.path.exists()
        canary.path.unlink()
    assert pickle.loads(next(canary.bodies())[0])
