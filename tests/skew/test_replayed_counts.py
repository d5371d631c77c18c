"""Event counts, features of the ranker: a deployment logs those that a training counts in a log of the same events."""

from __future__ import annotations

import time
from dataclasses import replace

import httpx
import numpy as np
import pytest
import redis

from recsys.kernels.feature_kernels import FLAGS, RECENT
from recsys.lists.impression import Impression
from recsys.model import features
from recsys.store import RedisFlowStore, RedisGenerationStore
from recsys.types import Candidates, Histories
from service.backends.count_follower import POLL_SECONDS
from tests.sample_data import tiny
from tests.servers.deployment import Deployment

DAY, ITEMS, USERS = 86_400, 10, 20


class Shop:
    """A deployment that logs all slates, and the events that were sent to it."""

    def __init__(self, url, log):
        self.client = httpx.Client(base_url=url, timeout=30)
        self.log, self.ids = log, [*map(str, log.catalogue.ids)]
        self.random, self.moments, self.rows = np.random.default_rng(7), [], []

    def send(self, ages):
        """Send an event of each age, in seconds, with one of ITEMS items."""
        rows = self.random.integers(0, ITEMS, len(ages)).tolist()
        moments = [time.time() - age for age in ages]
        events = [
            {"user_id": 1_000 + n, "item_id": self.ids[row], "timestamp": moment, "event_type": "interaction"}
            for n, (row, moment) in enumerate(zip(rows, moments, strict=True))
        ]
        self.client.post("/events", json={"events": events}).raise_for_status()
        self.moments += moments
        self.rows += rows

    def ask(self):
        """Request a slate for each of USERS users."""
        for user in range(USERS):
            self.client.post("/recommend", json={"user_id": user, "k": 20}).raise_for_status()

    def trained(self):
        """The events as a training has them."""
        order, none = np.argsort(self.moments, kind="stable"), np.zeros(len(self.rows), np.int32)
        times, items = np.array(self.moments)[order], np.array(self.rows, np.int32)[order]
        return replace(self.log, users=none, items=items, times=times, types=none.astype(np.uint8)).recent_events


@pytest.fixture(scope="module")
def world(tiny_world, own_valkey_url, tmp_path_factory):
    """A shop without events."""
    folder, log = tiny_world
    with redis.Redis.from_url(own_valkey_url) as store:
        store.flushall()
    tiny.publish(folder, RedisGenerationStore(own_valkey_url))
    home = tmp_path_factory.mktemp("counts")
    settings = {"REDIS_URL": own_valkey_url, "TANDEM_IMPRESSIONS_PER_SECOND": "1000000"}
    with Deployment(home, home / "service.log", **settings) as running:
        yield Shop(running.url, log), RedisFlowStore(own_valkey_url), folder.tables()


@pytest.mark.parametrize("seconds", [0, pytest.param(150, marks=pytest.mark.slow)])
def test_logged_counts_are_those_of_a_training(world, seconds):
    """To the bit, for events of a day that arrive late, and for 150 seconds of events in which minutes end."""
    shop, store, tables = world
    shop.send([*np.exp(shop.random.uniform(0, np.log(1.1 * DAY), 400)), *np.linspace(0, 120, 100)])
    time.sleep(2 * POLL_SECONDS)
    start = time.time()  # a late event is no part of earlier slates
    shop.ask()
    while time.time() < start + seconds:
        shop.send([0.0] * 5)
        shop.ask()
        time.sleep(2)
    recent, most = shop.trained(), 0.0
    time.sleep(2)
    shown = [Impression.unpack(entry.data) for entry in store.read_impressions(count=100_000)]
    slates = [slate for slate in shown if slate.asked >= start]
    assert len(slates) >= 0.95 * USERS  # without ranking, on a busy machine, a slate has no features
    for slate in slates:
        items = np.array([[shop.ids.index(str(item)) for item in slate.items]], np.int32)
        candidates = Candidates(items, np.zeros(items.shape, np.float32), np.zeros(items.shape, np.uint16))
        past = Histories.empty(np.array([slate.asked]))
        expected = features.build(tables, past, candidates, recent)[0, :, RECENT:FLAGS]
        np.testing.assert_array_equal(slate.features[:, RECENT:FLAGS], expected)
        most = max(most, expected[:, 0].max())
    assert most > 1
