"""What a deployment opens, and what comes of a pickle that is sent there."""

import grpc
import httpx
import pytest

from tests.edge import pickles, sockets
from tests.servers.deployment import descendants


@pytest.fixture(scope="module")
def opened(deployment):
    return sockets.listening(deployment.process.pid)


def test_nothing_listens_on_a_port_but_the_doors(deployment, opened):
    """BentoML's process manager has no port for commands; sockets of the backends are in a folder of this user's."""
    ports, paths = opened
    assert ports == {deployment.port, deployment.grpc_port}
    assert len(paths) == 2
    for path in paths:
        folder = pickles.Path(path).parent.stat()
        assert folder.st_mode & 0o077 == 0


def test_a_pickle_is_executed_nowhere(deployment, opened, tmp_path):
    """At every socket, by every header of BentoML's; the backends still answer rows."""
    canary = pickles.Canary(tmp_path / "canary")
    ports, paths = opened
    told = {}
    for place in (deployment.port, *paths):
        for request in pickles.requests(canary):
            status = pickles.send(place, request)[9:12]
            told.setdefault(place, set()).add(status)
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
        assert told[path] <= {b"200", b"400", b"404", b"405"}, told[path]  # 200: probes, which read no body
    answer = httpx.post(f"{deployment.url}/recommend", json={"user_id": "you", "mode": "realtime"}).json()
    assert answer["degraded"] == []
    assert deployment.process.poll() is None
    assert descendants(deployment.process.pid)


def test_the_gateway_s_metrics_have_the_counts_of_retrieval_and_ranking(deployment):
    """BentoML's own metrics are off in all three services; the folder that the processes share is still there."""
    httpx.post(f"{deployment.url}/recommend", json={"user_id": "you", "mode": "realtime"}).raise_for_status()
    text = httpx.get(f"{deployment.url}/metrics").text
    for api in ("retrieve", "rank"):
        assert f'tandem_rows_together_count{{api="{api}"}}' in text
    assert "bentoml_" not in text


def test_the_canary_is_one(tmp_path):
    """Read as a pickle it writes its file; and BentoML reads what says it is one."""
    canary = pickles.Canary(tmp_path / "canary")
    import pickle

    from _bentoml_impl.serde import Payload, PickleSerde

    for data, more in canary.bodies():
        PickleSerde().deserialize_value(Payload((data,), more))
        assert canary.path.exists()
        canary.path.unlink()
    assert pickle.loads(next(canary.bodies())[0])
