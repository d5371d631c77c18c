"""The flow `monitor`, with a real store and gateways that are small HTTP servers: which arms it halts, and why."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from flows.monitor import monitor
from recsys.errors import ExperimentError
from recsys.experiments import changes
from recsys.experiments.definition import checked
from recsys.store.redis.redis_experiments import RedisExperimentStore

DEFINITION = {
    "name": "ease",
    "arms": {"new": {"share": 0.4, "mode": "batch"}, "other": {"share": 0.4, "mode": "hybrid"}},
    "guardrails": {"p99_ms": 150},
}


class Gateway:
    """A gateway's counters, at a URL."""

    def __init__(self):
        self.registry, self.url, self.wanted_key, self.page = CollectorRegistry(), "", None, None
        names = ["experiment", "arm"]
        self.slates = Counter("tandem_arm_slates", "Slates", [*names, "outcome"], registry=self.registry)
        self.seconds = Histogram("tandem_arm_seconds", "Times", names, buckets=(0.1, 0.2, 0.5), registry=self.registry)

    def answer(self, arm, count, seconds=0.05, outcome="ok"):
        self.slates.labels("ease", arm, outcome).inc(count)
        for _ in range(count):
            self.seconds.labels("ease", arm).observe(seconds)


@contextmanager
def gateway():
    counted = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            allowed = counted.wanted_key in (None, self.headers["authorization"])
            self.send_response(200 if allowed else 401)
            self.end_headers()
            self.wfile.write(counted.page or generate_latest(counted.registry))

        def log_message(self, *_):
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    counted.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield counted
    server.shutdown()
    server.server_close()


@pytest.fixture
def store(shop):
    """Experiments in the shop's store, of which one runs at 50 %."""
    found = RedisExperimentStore(shop.url)
    found.change(lambda document: changes.create(document, checked(DEFINITION), 1.0))
    found.change(lambda document: changes.start(document, "ease", 2.0))
    found.change(lambda document: changes.ramp(document, "ease", 0.5, 3.0))
    yield found
    found.close()


def test_a_slow_arm_is_halted_and_the_others_go_on(store):
    """Slates before the first look do not count; the second look halts the arm that became slow, in one change."""
    with gateway() as one, gateway() as two:
        for each in (one, two):
            each.answer("new", 200)
            each.answer("other", 200)
        assert monitor([one.url, two.url]).halted == {}
        two.answer("new", 60, seconds=0.3)
        two.answer("other", 60)
        result = monitor([one.url, two.url])
        assert list(result.halted) == ["ease/new"]
        assert "100.0% of its 60 slates took longer than 150 ms" in result.halted["ease/new"]
        found = store.read().experiments["ease"]
        assert dict(found.halted) == {"new": result.halted["ease/new"]}
        assert (found.changes[-1].by, found.status) == ("monitor", "running")
        assert monitor([one.url, two.url]).halted == {}


def test_a_gateways_own_halt_goes_into_the_document(store):
    """A gateway may write one key that expires; the monitor makes the halt last."""
    store.halt("ease", "other", "Generation g2 was refused.")
    assert monitor([]).halted == {"ease/other": "Generation g2 was refused."}
    assert dict(store.read().experiments["ease"].halted) == {"other": "Generation g2 was refused."}


def test_a_gateway_that_gives_no_metrics_is_named(store, tmp_path):
    """With the fix, also a URL that is none and another server; the other gateways are judged.

    A key from a file is sent. A run that reads no gateway fails.
    """
    with gateway() as closed, gateway() as other, gateway() as open_to_all:
        closed.wanted_key, other.page = "Bearer tdm_right", b"<html>Shop</html>"
        away = ["http://127.0.0.1:9", "http://127.0.0.1:port"]
        result = monitor([*away, closed.url, other.url, open_to_all.url])
        assert all("No metrics came from" in result.unread[url] for url in away)
        assert "--key-file names a key" in result.unread[closed.url]
        assert "name a gateway's URL" in result.unread[other.url]
        assert result.arms == 2
        (tmp_path / "key").write_text("tdm_right\n")
        assert monitor([closed.url], str(tmp_path / "key")).unread == {}
        with pytest.raises(ExperimentError, match="No arm was judged, because no gateway could be read"):
            monitor(["http://127.0.0.1:9", closed.url])


def test_an_experiment_stops_at_its_end(store):
    """Its generations can be deleted then, and another one can have its users."""
    arms, times = (
        {"few": {"share": 0.5, "candidates": 50}},
        {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"},
    )
    over = checked({"name": "over", "arms": arms} | times)
    store.change(lambda document: changes.create(document, over, 1.0))
    store.change(lambda document: changes.start(document, "over", 2.0))
    monitor([])
    found = store.read().experiments
    assert (found["over"].status, found["over"].changes[-1].what) == ("stopped", "Stopped at its end.")
    assert found["ease"].status == "running"
