"""The start of a container, and its health check."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from service import container, probe

NEW = container.FLAGS | {"sse2", "vaes"}


@pytest.fixture
def shipped(tmp_path):
    """Kernels as an image has them."""
    folder = tmp_path / "shipped"
    (folder / "search_1").mkdir(parents=True)
    (folder / "search_1" / "look.nbi").write_bytes(b"index")
    (folder / container.STAMP).write_text("one\n")
    return folder


def test_kernels_of_the_image_are_copied_where_numba_may_write(shipped, tmp_path):
    """Once: kernels that were compiled there since stay. Those of an older image go: the next image can't use them."""
    home = tmp_path / "home"
    home.mkdir()
    [folder] = container.kept_kernels(home, str(shipped)).values()
    kernels = home / "kernels"
    assert (kernels / "one/search_1/look.nbi").read_bytes() == b"index"
    (kernels / "one" / "own.nbi").write_bytes(b"own")
    assert container.kept_kernels(home, str(shipped)) == {"NUMBA_CACHE_DIR": folder}
    assert (kernels / "one" / "own.nbi").exists()
    (shipped / container.STAMP).write_text("two")
    container.kept_kernels(home, str(shipped))
    assert [each.name for each in kernels.iterdir()] == ["two"]
    without = container.kept_kernels(tmp_path, str(tmp_path / "none"))  # such as an image without a generation
    assert without == {"NUMBA_CACHE_DIR": str(tmp_path / "kernels" / "own")}


def test_the_model_of_the_bento_is_linked_into_the_home(tmp_path):
    """In a folder that can be written, also after a restart. The links of an older image are removed."""
    part = tmp_path / "bento" / "models" / "tandem" / "g2" / "manifest.json"
    part.parent.mkdir(parents=True)
    part.touch()
    (part.parent.parent / "latest").write_text("g2")
    links = tmp_path / "home" / "pinned"
    (links / "g1").mkdir(parents=True)
    (links / "g1" / "manifest.json").symlink_to(tmp_path / "gone")
    for _ in range(2):
        pinned = container.linked_model(tmp_path / "home", str(tmp_path / "bento"))
        assert pinned == {"BENTO_PINNED": str(links / "g2")}
        assert [each.name for each in links.iterdir()] == ["g2"]
        assert (links / "g2" / "manifest.json").resolve() == part
        (links / "g2" / ".verified").touch()
    assert not (part.parent / ".verified").exists()
    assert container.linked_model(tmp_path / "other", None) == {}


@pytest.mark.parametrize(
    ("variables", "flags", "name"),
    [
        ({}, NEW, container.LEVEL),
        ({}, NEW - {"avx2"}, None),
        ({"NUMBA_CPU_NAME": "generic"}, NEW, "generic"),
        ({"NUMBA_CPU_NAME": "native"}, NEW, None),
    ],
)
def test_kernels_are_compiled_for_a_level_that_this_processor_has(variables, flags, name):
    """Never for instructions that the processor lacks. A variable that is set is kept."""
    environment = dict(variables)
    container.for_processor(environment, frozenset(flags))
    assert environment.get("NUMBA_CPU_NAME") == name
    assert ("NUMBA_CPU_FEATURES" in environment) == (name == container.LEVEL)


def test_a_home_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch, capsys):
    """Such as a read-only root without a volume."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path / "file" / "home"))
    assert container.main([]) == 1
    assert "Mount a volume or a tmpfs" in capsys.readouterr().err


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_probe_returns_the_status_of_the_door(status, code, capsys):
    """/readyz by default, /livez by an option. Without a server the probe fails and names the address."""

    class Door(BaseHTTPRequestHandler):
        def do_GET(self):
            paths.append(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"The reason.")

        def log_message(self, *_):
            return

    paths = []
    with HTTPServer(("127.0.0.1", 0), Door) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = {"PORT": str(server.server_port), "TANDEM_HOST": "0.0.0.0"}
        assert probe.main([], here) == probe.main(["--live"], here) == code
        server.shutdown()
    assert paths == ["/readyz", "/livez"]
    assert ("503: The reason." in capsys.readouterr().err) == bool(code)
    assert probe.main([], here) == 1
    assert f"127.0.0.1:{here['PORT']}" in capsys.readouterr().err
