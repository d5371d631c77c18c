"""Tables, impressions and events in a bucket, and the errors of buckets. test_flow.py has a whole run on a bucket."""

import socket
import time
from pathlib import Path

import pytest
import redis

from flows.collection.collect_events import collect_events
from flows.collection.day_files import join_days
from flows.forgetting.deleted_users import remove_deleted_users
from recsys.errors import LocationError
from recsys.store import RedisFlowStore
from recsys.store.redis.event_collection import RedisEventCollection
from recsys.types import Event
from tests.chaos.event_sender import forget, send
from tests.flows.feedback.test_drain import NOON, WANTED, Store, act, log, one_step, shown
from tests.flows.ring_dataset import ring
from tests.servers.s3_server import NAME
from training import __main__ as training
from training.read import impressions, locations
from training.read.dataset import read
from training.read.locations import Location

MAPPING = """
name = "ring"
[interactions]
file = "{file}"
user_id = "user_id"
item_id = "item_id"
timestamp = "timestamp"
"""


@pytest.fixture
def variables(bucket, monkeypatch):
    """Set the credentials in this process. No request goes to the metadata service of a cloud."""
    for name, value in (bucket.variables | {"AWS_EC2_METADATA_DISABLED": "true"}).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("file", ["log.csv.gz", "log/"])
def test_tables_of_each_kind(bucket, variables, tmp_path, file):
    """The file in dataset.toml is a URL of compressed CSV or of a folder of Parquet files."""
    frame = ring(users=20)
    parts = {"log/a.parquet": frame[:100], "log/b.parquet": frame[100:]} if file == "log/" else {file: frame}
    for name, rows in parts.items():
        path = tmp_path / Path(name).name
        rows.to_parquet(path) if path.suffix == ".parquet" else rows.to_csv(path, index=False)
        bucket.put(f"kinds/{name}", path.read_bytes())
    bucket.put("kinds/log/_SUCCESS", b"")  # as Spark leaves it
    (tmp_path / "dataset.toml").write_text(MAPPING.format(file=f"s3://{NAME}/kinds/{file}"))
    dataset = read(tmp_path, tmp_path / "quarantine")
    assert len(dataset.interactions) == len(frame)
    assert dataset.name == "ring"


def test_bad_rows_go_to_the_quarantine(bucket, variables, tmp_path):
    """Bad rows of a folder in a bucket are written to the local quarantine."""
    bucket.put("bad/log.csv", b"user_id,item_id,timestamp\n1,2,1700000000\n3,4,1700000001\n,4,1700000002\n")
    (tmp_path / "dataset.toml").write_text(f'folder = "s3://{NAME}/bad"\n' + MAPPING.format(file="log.csv"))
    assert read(tmp_path, tmp_path / "quarantine").notes.bad_rows() == 1
    assert "user_id: empty" in (tmp_path / "quarantine" / "interactions.csv").read_text()


@pytest.fixture
def silent():
    """An address that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def refusal(bucket, variables, monkeypatch, capsys):
    """The single line that `python -m training check` prints for a URL."""

    def check(url, **changed):
        for name, value in changed.items():
            monkeypatch.setenv(name, value)
        assert training.main(["check", "--data", url]) == 1
        (sentence,) = capsys.readouterr().err.splitlines()
        assert bucket.variables["AWS_SECRET_ACCESS_KEY"] not in sentence
        return sentence

    return check


class TestRefusals:
    @pytest.mark.parametrize("changed", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
    def test_wrong_credentials(self, refusal, changed):
        """The error for an unknown key or a wrong secret names the variables, without their values."""
        url = f"s3://{NAME}/ring/dataset.toml"
        assert refusal(url, **{changed: "wrong"}) == (
            f"{url} can't be read: access is denied. Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that they "
            "may reach this bucket."
        )

    @pytest.mark.parametrize("url", ["s3://no-such-bucket/ring", f"s3://{NAME}/nothing"])
    def test_a_bucket_or_a_key_that_is_not_there(self, refusal, url):
        """The error has the whole URL."""
        assert refusal(url).startswith(f"{url}/dataset.toml does not exist. ")

    def test_a_server_that_does_not_answer(self, refusal, silent, monkeypatch):
        """The error names AWS_ENDPOINT_URL for a refused connection and for a silent server."""
        monkeypatch.setattr(locations, "SILENT_SECONDS", 1)
        url = f"s3://{NAME}/ring/dataset.toml"
        for address in ("http://127.0.0.1:9", silent):
            assert refusal(url, AWS_ENDPOINT_URL=address) == (
                f"{url} can't be read: the server of the bucket does not answer. Check AWS_ENDPOINT_URL ({address})."
            )

    @pytest.mark.parametrize("url", ["s3://AKIA:se/cret@my-shop/ring", "s3://my-shop/ring?secret_key=secret"])
    def test_credentials_in_a_url(self, refusal, url):
        """They are refused and not printed."""
        sentence = refusal(url)
        assert "write s3://BUCKET/KEY and set AWS_ACCESS_KEY_ID" in sentence
        assert "cret" not in sentence


def test_impressions_are_drained_into_a_bucket(bucket, variables, empty_url):
    """Impressions leave the store after their file is written, and stay if it can't be written."""
    store, later = Store(empty_url), time.time() + 3_600
    log(store, shown("7", dataset="shop"), shown("8", dataset="shop"))
    act(store, Event("7", "a", NOON))
    with pytest.raises(LocationError, match="there is no such bucket"):
        one_step(store, "s3://no-such-bucket/impressions", later)
    assert len(store.read_impressions()) == 2
    done = one_step(store, f"s3://{NAME}/impressions", later)
    assert store.read_impressions() == []
    shown_items = impressions.read([Location(file) for file in done.files], WANTED)
    assert (len(shown_items), len(shown_items.grades), done.rows) == (1, 3, 6)
    store.close()


def test_events_in_a_bucket(bucket, variables, own_valkey_url, monkeypatch, tmp_path):
    """They are read from there, and lose the rows of deleted users; a day that is over stays as it was written."""
    monkeypatch.setenv("TANDEM_EXPORTS", f"s3://{NAME}/collected")
    with redis.Redis.from_url(own_valkey_url) as client:
        client.flushall()
    send(own_valkey_url, "a", "b", user="gone")
    send(own_valkey_url, "c")
    folder, store = Location(f"s3://{NAME}/collected/events"), RedisEventCollection(own_valkey_url)
    assert collect_events.fn(store, folder).events == 3
    store.close()
    assert join_days.fn(folder, time.time() + 200_000) == 0
    (tmp_path / "dataset.toml").write_text('name = "shop"\n[collected]\nevents = true\n')
    assert read(tmp_path).interactions["item_id"].tolist() == ["a", "b", "c"]
    forget(own_valkey_url, "gone")
    flows = RedisFlowStore(own_valkey_url)
    assert remove_deleted_users.fn(flows, [folder], tmp_path) == 2
    flows.close()
    assert read(tmp_path).interactions["item_id"].tolist() == ["c"]
