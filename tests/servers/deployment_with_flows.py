"""A running service in one process and the commands of flows over the same Redis, for tests of both together.

Such a test trains and publishes models by a command, and then requests recommendations.
"""

import io
import json
import time
from contextlib import redirect_stdout

import httpx
import pytest

from recsys.store import RedisGenerationStore
from tests.sample_data import tiny
from tests.servers.deployment import Deployment, free_port, wait_for
from tests.servers.store_server import StoreServer

SETTLED_SECONDS = 6.0
"""Until a gateway has written its last impressions and read files, experiments, counts and trending items again."""


class DeploymentWithFlows:
    """A deployment that logs each slate, over a store of its own, and the commands of flows over that store.

    home: a folder of the test module that uses the deployment; `renew` gives the next one.
    """

    def __init__(self, folder, generation):
        self.server = StoreServer(folder / "store").start()
        self.url = self.server.url
        tiny.publish(generation, RedisGenerationStore(self.url))
        away = f"http://127.0.0.1:{free_port()}/api"  # the pages' Prefect server
        variables = {"REDIS_URL": self.url, "TANDEM_TOPOLOGY": "inline", "PREFECT_API_URL": away}
        variables |= {"TANDEM_IMPRESSIONS_PER_SECOND": "1000000", "TANDEM_DEADLINE_MS": "10000"}
        self.deployment = Deployment(folder, folder / "service.log", **variables)

    def __enter__(self):
        self.deployment.__enter__()
        self.client = httpx.Client(base_url=self.deployment.url, timeout=30)
        self._is_new = True
        return self

    def __exit__(self, *error):
        self.client.close()
        self.deployment.stop()
        self.server.stop()

    def renew(self, home, generation):
        """Empty the store and the files of rules and surfaces, and serve a generation."""
        self.home = home
        if not self._is_new:
            for path in (self.deployment.rules, self.deployment.surfaces):
                path.write_text("")
            with self.server.client() as store:
                store.flushall()
                time.sleep(SETTLED_SECONDS)
                store.flushall()
        self._is_new = False
        live = tiny.publish(generation, RedisGenerationStore(self.url))
        wait_for(lambda: self.recommend("nobody", log_impression=False)["generation"] == live)
        return self

    def flow(self, *arguments):
        """Run a command of flows in this process; its JSON."""
        from flows.__main__ import main

        with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
            patch.setenv("TANDEM_HOME", str(self.home / "flows"))
            patch.setenv("REDIS_URL", self.url)
            code = main([*arguments, "--json"])
        assert code == 0, printed.getvalue()
        return json.loads(printed.getvalue())

    def recommend(self, user, **body):
        answer = self.client.post("/recommend", json={"user_id": user, **body})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def click(self, user, *items, **more):
        """Store an event with each item; more: further fields of the events."""
        events = [{"user_id": user, "item_id": item, **more} for item in items]
        return self.client.post("/events", json={"events": events}).raise_for_status().json()

    def rules(self, text):
        """Replace the file of rules, and wait until /status names its last rule, which has no effect."""
        mark = f"edit-{time.monotonic_ns()}"
        new = self.deployment.rules.with_suffix(".new")
        new.write_text(f'{text}\n[[boost]]\nitems = ["{mark}"]\nby = 1.0\n')
        new.replace(self.deployment.rules)
        wait_for(lambda: any(mark in line for line in self.client.get("/status").json()["rules"]))
