"""Our code uses the public names of server libraries alone, and assigns to none of their names."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LIBRARIES = {
    *("bentoml", "_bentoml_impl", "_bentoml_sdk", "circus", "uvicorn", "starlette", "grpc", "hpack", "uvloop"),
    *("httptools", "redis", "prometheus_client", "aiohttp"),
}
PACKAGES = ("service", "recsys", "flows", "training")
GENERATED = "_pb2_grpc.py"
"""The proto compiler writes these files, and its output reads grpc._utilities."""

PATCHES = ROOT / "service" / "bentoml_patches.py"
"""The one file that may use private parts of a library; each of its patches has a test."""


def private(name):
    """Whether a dotted name has a part with one leading underscore."""
    return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))


def is_of_library(module):
    return module is not None and module.split(".")[0] in LIBRARIES


def dotted(node):
    """The name that an attribute access starts from and the attributes, such as ("auto", ["AutoHTTPProtocol"])."""
    attributes = []
    while isinstance(node, ast.Attribute):
        attributes.insert(0, node.attr)
        node = node.value
    return (node.id, attributes) if isinstance(node, ast.Name) else (None, attributes)


def imported(tree):
    """Yield each import of a library: the node, the full name, and the local name that it binds."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in filter(lambda alias: is_of_library(alias.name), node.names):
                yield node, alias.name, alias.asname or alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and not node.level and is_of_library(node.module):
            for alias in node.names:
                yield node, f"{node.module}.{alias.name}", alias.asname or alias.name


def assigned(node):
    """The targets of a statement that assigns, deletes, or calls setattr or delattr."""
    if isinstance(node, ast.Assign | ast.Delete):
        return node.targets
    if isinstance(node, ast.AugAssign | ast.AnnAssign):
        return [node.target]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"setattr", "delattr"}:
        return [ast.Attribute(node.args[0], "*")]
    return []


def faults(source):
    """Yield the line and a sentence of each private name of a library, and of each assignment to one of its names."""
    tree = ast.parse(source)
    names = set()
    for node, full, local in imported(tree):
        names.add(local)
        if private(full):
            yield node.lineno, f"imports {full}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name, attributes = dotted(node)
            if name in names and private(attributes[-1]):
                yield node.lineno, f"reads {name}.{'.'.join(attributes)}"
        for target in assigned(node):
            name, attributes = dotted(target)
            if name in names and attributes:
                yield node.lineno, f"assigns to {name}.{'.'.join(attributes)}"


def test_no_private_name_of_a_server_library_is_used():
    """Over every file of our packages: imports, attributes of what is imported, and assignments."""
    found = [
        f"{path.relative_to(ROOT)}:{line} {fault}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if not path.name.endswith(GENERATED) and path != PATCHES
        for line, fault in faults(path.read_text())
    ]
    assert found == []
    assigned_to = [fault for _, fault in faults(PATCHES.read_text()) if fault.startswith("assigns")]
    assert assigned_to == ["assigns to Optimizer.wait", "assigns to Arbiter.__init__"]
