"""The Prefect automations of deploy/prefect: a flow that fails or is late sends a message."""

import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from recsys.errors import DatasetError
from tests.servers.flow_environment import ROOT, flow_environment

SECONDS = 60
"""The limit of a wait. Prefect evaluates triggers each few seconds."""


@pytest.fixture
def messages(harness, prefect_url, tmp_path):
    """The bodies that the automations sent, on a Prefect server that has them."""
    from prefect import get_client
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    sent = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            sent.append(self.rfile.read(int(self.headers["content-length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    block = CustomWebhookNotificationBlock(name="tandem", url=url, form_data="{{subject}} | {{body}}").save("tandem")
    template = (ROOT / "deploy" / "prefect" / "automations.yaml").read_text(encoding="utf-8")
    file = tmp_path / "automations.yaml"
    file.write_text(template.replace("00000000-0000-0000-0000-000000000000", str(block)))
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "automation", "create", "--from-file", str(file)],
        env=flow_environment(tmp_path, PREFECT_API_URL=prefect_url),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    yield sent
    with get_client(sync_client=True) as client:
        for name in ("failed", "late"):
            for automation in client.read_automations_by_name(f"tandem flow {name}"):
                client.delete_automation(automation.id)
    server.shutdown()
    server.server_close()


def wait(messages, start):
    """Wait until a message begins so, and return it."""
    deadline = time.monotonic() + SECONDS
    while not (found := [message for message in messages if message.startswith(start)]):
        assert time.monotonic() < deadline, messages
        time.sleep(0.3)
    return found[0]


def test_a_failed_and_a_late_flow_send_messages(messages, tmp_path):
    """The message names the flow, the state and the reason. A flow of another project sends none."""
    from prefect import get_client, tags
    from prefect.states import Scheduled

    from flows.lists import batch
    from flows.train import run

    with get_client(sync_client=True) as client:
        due = Scheduled(scheduled_time=datetime.now(UTC) - timedelta(minutes=1))
        client.create_flow_run(batch, state=due, tags=["tandem"])
    time.sleep(3)  # Prefect reads new automations before the next event
    with pytest.raises(DatasetError):
        run(str(tmp_path / "another"))
    with tags("tandem"), pytest.raises(DatasetError):
        run(str(tmp_path / "nowhere"))
    assert "nowhere" in wait(messages, "Tandem: train is Failed | ")
    wait(messages, "Tandem: batch is Late | ")
    assert len(messages) == 2
