"""Compiles all Numba kernels of the service while its image is built, so that a container's start compiles none.

It runs the service once and calls the endpoints that use the kernels.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

READY_SECONDS = 600
"""Time limit for the compilation on a busy builder."""

PORT = "3000"


def main() -> int:
    """Fill the folder BENTO_KERNELS. A bento without a generation is left without kernels."""
    kernels = Path(os.environ["BENTO_KERNELS"])
    if not (Path(os.environ["BENTO_PATH"]) / "models").is_dir():
        print("tandem: this bento pins no generation, so kernels are compiled by the first start (15 s and more)")
        return 0
    with tempfile.TemporaryDirectory() as home:
        started = time.monotonic()
        # Inline, so that one process compiles the kernels of all three services. BentoML waits without a time limit.
        variables = {"TANDEM_HOME": home, "HOME": home, "TANDEM_HOST": "127.0.0.1", "TANDEM_TOPOLOGY": "inline"}
        variables |= {"PORT": PORT, "GRPC_PORT": "0"}
        command = ["bentoml", "serve", os.environ["BENTO_PATH"], "--host", "127.0.0.1", "--port", PORT]
        served = subprocess.Popen([sys.executable, "-m", "service.container", *command], env=os.environ | variables)
        try:
            first = first_item(served)
            # These calls use kernels that the warm-up of a generation does not use.
            post("/events", {"events": [{"user_id": "nobody", "item_id": first}]})
            post("/recommend", {"user_id": "nobody", "k": 5, "mode": "realtime"})
            post("/similar", {"item_id": first})
            post("/explain", {"user_id": "nobody", "item_id": first})
        finally:
            served.send_signal(signal.SIGTERM)
            served.wait(60)
        [compiled] = (Path(home) / "kernels").iterdir()
        shutil.copytree(compiled, kernels, dirs_exist_ok=True)
    count = sum(1 for _ in kernels.rglob("*.nbc"))
    (kernels / "stamp").write_text(uuid.uuid4().hex, encoding="ascii")
    print(f"tandem: {count} kernels compiled in {time.monotonic() - started:.0f} s")
    return 0


def first_item(served: subprocess.Popen[bytes]) -> object:
    """Wait until the deployment answers, and return the first item of a slate."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        if served.poll() is not None:
            raise SystemExit(f"tandem: the deployment ended with {served.returncode} while it was warmed")
        try:
            return post("/recommend", {"user_id": "nobody"})["items"][0]["item_id"]
        except (urllib.error.URLError, OSError, IndexError):
            time.sleep(0.5)
    raise SystemExit(f"tandem: the deployment was not ready after {READY_SECONDS} s")


def post(path: str, body: dict[str, object]) -> dict[str, list[dict[str, object]]]:
    """Send a request and return the answer."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(json.load(answer))


if __name__ == "__main__":
    sys.exit(main())
