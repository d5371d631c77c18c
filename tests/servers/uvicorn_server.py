"""Runs a uvicorn server in a thread while a test sends it requests."""

import threading
import time
from contextlib import contextmanager

import uvicorn


@contextmanager
def running(config):
    """Run the server of a config until the caller is done."""
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
