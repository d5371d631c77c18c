"""A running service and the `python -m flows` commands over the same Redis, for tests of both together.

Such a test trains and publishes models by a command, and then requests recommendations.
"""

import json
import subprocess
import sys
import time

import httpx

from tests.servers.flow_environment import ROOT, flow_environment


class DeploymentWithFlows:
    """A deployment over a store of its own, and the commands of flows over that store."""

    def __init__(self, home, url, deployment, prefect_url):
        self.home, self.url, self.deployment, self.prefect_url = home, url, deployment, prefect_url
        self.client = httpx.Client(base_url=deployment.url, timeout=30)

    def flow(self, *arguments):
        """Run a command of flows; its JSON."""
        done = subprocess.run(
            [sys.executable, "-m", "flows", *arguments, "--json"],
            cwd=ROOT,
            env=flow_environment(self.home / "flows", REDIS_URL=self.url, PREFECT_API_URL=self.prefect_url),
            capture_output=True,
            text=True,
            timeout=180,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    def recommend(self, user, **body):
        answer = self.client.post("/recommend", json={"user_id": user, **body})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def click(self, user, *items, **more):
        """Store an event with each item; more: further fields of the events."""
        events = [{"user_id": user, "item_id": item, **more} for item in items]
        return self.client.post("/events", json={"events": events}).raise_for_status().json()

    def rules(self, text):
        """Write the file of rules and wait until it is in force or refused."""
        self.deployment.rules.write_text(text)
        time.sleep(2.5)  # a file that is empty at one look is read at the next
