"""Lists what the service changes in the libraries that it imports, so that a test can find monkey patches.

The program serves the gateway in its own process, calls its HTTP and gRPC servers, and prints a JSON list.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import pkgutil
import sys
import threading
import time
import types
from contextlib import suppress

import uvicorn

from tandem_client import Client, DeadlineExceeded, Unavailable

LIBRARIES = (
    *("bentoml", "_bentoml_impl", "_bentoml_sdk", "circus"),
    *("uvicorn", "starlette", "grpc", "uvloop", "httptools"),
    *("redis", "prometheus_client"),
)
READY_SECONDS = 120


def import_all() -> None:
    """Import every module of the libraries that can be imported here."""
    for library in LIBRARIES:
        package = importlib.import_module(library)
        for module in pkgutil.walk_packages(package.__path__, f"{library}.", onerror=lambda _: None):
            if not module.name.endswith("__main__"):
                with suppress(Exception):  # the module needs a package or a platform that is not there
                    importlib.import_module(module.name)


def attributes() -> dict[str, object]:
    """The classes and functions of the libraries' modules, and the attributes of those classes, by full name."""
    found: dict[str, object] = {}
    for module in [each for name, each in sys.modules.items() if name.split(".")[0] in LIBRARIES]:
        for name, value in vars(module).items():
            if isinstance(value, type | types.FunctionType | types.BuiltinFunctionType):
                found[f"{module.__name__}.{name}"] = value
            if isinstance(value, type) and value.__module__.split(".")[0] in LIBRARIES:
                for attribute, content in vars(value).items():
                    if attribute != "__slotnames__":  # what `copy` keeps of a class that it copied
                        found[f"{value.__module__}.{value.__qualname__}.{attribute}"] = content
    return found


def serve(port: int) -> None:
    """Serve the gateway as a worker of BentoML does, until its HTTP and gRPC servers have answered."""
    gateway = importlib.import_module("service.gateway").Gateway
    gateway.inner.prepare_workers()
    os.environ.pop("TANDEM_PARENT")  # there is no process between the parent and the worker
    server = uvicorn.Server(uvicorn.Config(gateway.to_asgi(), port=port, log_config=None, server_header=False))
    client = threading.Thread(target=call, args=(server, port), daemon=True)
    client.start()
    server.run()
    client.join()


def call(server: uvicorn.Server, port: int) -> None:
    """Call the HTTP and the gRPC server, then end them."""
    end = time.monotonic() + READY_SECONDS
    try:
        for url in (f"http://127.0.0.1:{port}", f"grpc://127.0.0.1:{os.environ['GRPC_PORT']}"):
            with Client(url, key=os.environ["KEY"]) as client:
                while True:
                    try:
                        assert client.recommend(4).items
                        break
                    except (Unavailable, DeadlineExceeded):
                        assert time.monotonic() < end
                        time.sleep(0.2)
    finally:
        server.should_exit = True


def changed(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """The names that have another content than before, are gone, or were added to a class."""
    other = [name for name, content in before.items() if name not in after or after[name] is not content]
    added = [name for name in after if name not in before and name.rpartition(".")[0] in before]
    return sorted(other + added)


def main() -> None:
    """Compare the libraries before the gateway is imported with the libraries after it has served."""
    import_all()
    before = attributes()
    try:
        serve(int(os.environ["PORT"]))
    except BaseException:
        logging.exception("The gateway failed.")
    sys.stdout.write(json.dumps(changed(before, attributes())) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
