"""What the kernel lets through, and what it does not any more."""

import socket
import threading

import pytest

from service import quiesce


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(5)
        yield listening


@pytest.fixture
def pair(listener):
    """A client's end and the server's."""
    with socket.create_connection(listener.getsockname(), 5) as client:
        served, _ = listener.accept()
        with served:
            served.settimeout(5)
            yield client, served


def test_no_connection_begins_and_those_that_did_are_served(listener):
    """Of two that connected one is accepted after it, and both are answered; the third finds nobody in its time."""
    before = [socket.create_connection(listener.getsockname(), 5) for _ in range(2)]
    first, _ = listener.accept()
    if not quiesce.refuse_connections(listener):
        pytest.skip("this kernel gives no socket filter to whoever has no rights")
    second, _ = listener.accept()
    with pytest.raises(TimeoutError):
        socket.create_connection(listener.getsockname(), 0.3)
    for client, served in zip(before, (first, second), strict=True):
        client.sendall(b"asked")
        assert served.recv(10) == b"asked"
        served.sendall(b"told")
        assert client.recv(10) == b"told"
        client.close()
        served.close()


def test_what_is_sent_is_held_back_and_comes_when_it_may(pair):
    """An answer goes out meanwhile, larger than what fits without a word from the other side."""
    client, served = pair
    quiesce.hold_data(served)
    client.sendall(b"late")
    served.settimeout(0.2)
    with pytest.raises(TimeoutError):
        served.recv(10)
    answer, got = bytes(8 << 20), bytearray()
    reader = threading.Thread(
        target=lambda: [got.extend(client.recv(1 << 16)) for _ in iter(lambda: len(got) < len(answer), False)]
    )
    reader.start()
    served.settimeout(10)
    served.sendall(answer)
    reader.join(10)
    assert len(got) == len(answer)
    quiesce.take_data(served)
    assert served.recv(10) == b"late"


def test_a_port_s_own_sockets_are_told_apart(listener, pair):
    """Who listens, and what it accepted: neither a client's end nor another port's."""
    port = listener.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)):
        assert [one.getsockname() for one in quiesce.listeners(port)] == [listener.getsockname()]
        assert [one.getpeername() for one in quiesce.connections(port)] == [pair[0].getsockname()]


def test_where_there_is_no_filter_it_says_so():
    """A closed socket has none, nor has a kernel that gives it to nobody without rights."""
    one, other = socket.socketpair()
    one.close()
    assert not quiesce.refuse_connections(one)
    other.close()
