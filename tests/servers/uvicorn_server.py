"""A uvicorn of a test's own, in a thread."""

import threading
import time
from contextlib import contextmanager

import uvicorn


@contextmanager
def running(config):
    """The server of a config, once it listens; it ends with the caller."""
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield server
    finally:
        server.should_exit = True
        thread.join()
