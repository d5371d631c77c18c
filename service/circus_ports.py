"""What a deployment says within itself stays there: no port of BentoML's process manager takes commands from anybody.

circus listens on two TCP ports of loopback, takes commands in JSON from whoever connects (among them to run any command
as a new worker) and publishes what happens to workers. Nobody here asks it: within the process it hears as well.
"""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger("tandem")

CONTROL, EVENTS = "inproc://circus-control", "inproc://circus-events"
"""ZeroMQ's own way between threads of one process: no socket of the system."""


def close_control(arbiter: Any) -> None:
    """Before an arbiter starts: let it listen to nobody else.

    One with plugins (`bentoml serve --reload`, for who writes code) has told them where already, and keeps its ports.
    """
    if any(watcher.name.startswith("plugin:") for watcher in arbiter.watchers):
        logger.warning("--reload: BentoML's process manager takes commands on a port of this machine.")
        return
    try:
        _ = arbiter.ctrl.endpoint, arbiter.endpoint, arbiter.pubsub_endpoint
    except AttributeError as error:
        logger.warning("This BentoML has no %s: its process manager takes commands on a port of this machine.", error)
        return
    arbiter.endpoint = arbiter.ctrl.endpoint = CONTROL
    arbiter.pubsub_endpoint = EVENTS
