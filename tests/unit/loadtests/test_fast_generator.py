"""`python -m loadtests.bench.fast_generator`, run against a server."""

import itertools
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from loadtests.arrivals import Shape
from loadtests.tally import Outcome, Tally
from tests.servers.deployment import ROOT


class Slates(BaseHTTPRequestHandler):
    """Answers with five items, and every fourth request with 503."""

    protocol_version = "HTTP/1.1"
    numbers = itertools.count(1)

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps({"items": [{"item_id": n} for n in range(5)], "degraded": []}).encode()
        self.send_response(503 if next(self.numbers) % 4 == 0 else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_the_generator_counts_every_request_once(tmp_path):
    """The command sends each arrival of the shape, and counts whole slates and failures."""
    sent = len(list(Shape("steady", ((1, 80),)).arrivals(1)))
    with ThreadingHTTPServer(("127.0.0.1", 0), Slates) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [
            sys.executable,
            "-m",
            "loadtests.bench.fast_generator",
            "--host",
            f"http://127.0.0.1:{server.server_port}",
        ]
        command += ["--pieces", "1:80", "--warmup", "0", "--k", "5", "--result", str(tmp_path / "load.json")]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        server.shutdown()
    assert run.returncode == 0, run.stderr
    tally = Tally.from_json(json.loads((tmp_path / "load.json").read_text()))
    assert tally.count() == sent
    assert tally.words == {"status 503": sent // 4}
    assert tally.count(Outcome.WHOLE) == sent - sent // 4
