"""The count of workers, read as a gateway's /metrics reads it."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]

COUNT = """
import os, subprocess, sys
from recsys.store.memory.memory_store import MemoryProcessRegistry
from recsys.store.process_registry import Announcement
from recsys.process.process_identity import ProcessIdentity, boot_and_namespace
from service.telemetry import metrics
from service.telemetry.worker_count import WorkerCount

show = lambda: [print(line) for line in metrics.exposition().decode().splitlines()
                if line.startswith(("tandem_workers{", "tandem_worker_deaths_total{", "tandem_slates_limit ",
                                    "tandem_live_generation_timestamp_seconds "))]
worker = (
    "import sys; from service.telemetry import metrics; metrics.slates_limit.set(8); "
    "metrics.live_generation.set(int(sys.argv[1])); print(flush=True); input()"
)
workers = [subprocess.Popen([sys.executable, "-c", worker, made], stdin=-1, stdout=-1) for made in ("200", "100")]
registry = MemoryProcessRegistry()
for worker in workers:
    worker.stdout.readline()
    registry.announce(Announcement(f"gateway here {worker.pid}", "gateway", life=ProcessIdentity.of(worker.pid)))
count = WorkerCount(registry, {"gateway": 2})
count.count()
show()
workers[0].kill()
workers[0].wait()
count.count()
count.count()
show()
workers[1].kill()
"""


def test_a_dead_worker_is_counted_once_and_its_gauges_are_removed(tmp_path):
    """Of two gateways the one with the later generation is killed: one death, and the gauges are of the other."""
    variables = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", COUNT], cwd=ROOT, env=variables, capture_output=True, text=True)
    assert sorted(done.stdout.splitlines()) == [
        "tandem_live_generation_timestamp_seconds 100.0",
        "tandem_live_generation_timestamp_seconds 200.0",
        "tandem_slates_limit 16.0",
        "tandem_slates_limit 8.0",
        'tandem_worker_deaths_total{service="Gateway"} 1.0',
        'tandem_workers{service="Gateway",state="alive"} 1.0',
        'tandem_workers{service="Gateway",state="alive"} 2.0',
    ], done.stderr
