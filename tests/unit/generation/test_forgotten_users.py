"""The removal of deleted users from the folder of a generation, and the publish of such a folder."""

import pytest

from flows.forgetting.training_deletions import Deletions, forget_later
from recsys.generation.forgotten_users import forget_users
from recsys.generation.manifest import GenerationFolder
from recsys.generation.publisher import Publisher
from recsys.store import RedisFlowStore
from recsys.user_digest import digest_of
from tests.chaos.kill_points import die_at
from tests.servers.store_server import empty, on_users
from training.untrained_generation import random_generation

GONE = ["user-0", "user-7", "user-8", "user-1099"]
DIGESTS = {digest_of(user) for user in GONE}


@pytest.fixture
def flows(empty_url):
    """What the flows read and write of users, in an empty store."""
    store = RedisFlowStore(empty_url)
    yield store
    store.close()


@pytest.fixture
def folder(tmp_path):
    """A generation with users in two buckets."""
    return random_generation(tmp_path / "made", "g1", 100, 8, 1_100, 100)


def content(folder):
    """The record of each user."""
    ids, records = folder.users()
    return {user: records.bytes_at(row) for row, user in enumerate(ids)}


def test_ids_and_records_of_the_users_are_gone(folder):
    """All others stay, the folder is whole, and its hashes of users in the store are the same."""
    before, buckets = content(folder), folder.manifest.user_buckets
    secret = before["user-7"]
    assert forget_users(folder, DIGESTS) == GONE
    assert content(folder) == {user: record for user, record in before.items() if user not in GONE}
    manifest = folder.verify(users=True)
    assert (manifest.users_left, manifest.user_buckets) == (1_096, buckets)
    assert not any(secret in path.read_bytes() for path in folder.path.iterdir())
    assert forget_users(folder, DIGESTS) == []
    assert forget_users(folder, {digest_of("user-1")}) == ["user-1"]
    assert folder.verify(users=True).users_left == 1_095


def test_the_folder_can_be_published_to_a_new_store_and_to_the_old_one(folder, empty_store, flows, empty_url, tmp_path):
    """No deleted user returns with it."""
    Publisher(empty_store, tmp_path).publish(folder)
    flows.forget_records("g1", folder.manifest.user_buckets, GONE)
    forget_users(folder, DIGESTS)
    for _ in ("old", "new"):
        manifest = Publisher(empty_store, tmp_path).publish(folder)
        assert empty_store.read_records("g1", manifest.user_buckets, [*GONE]) == [None] * 4
        stays = content(folder)
        assert empty_store.read_records("g1", manifest.user_buckets, [*stays]) == [*stays.values()]
        empty(empty_url)


def test_a_user_who_is_deleted_during_a_training_does_not_return(folder, empty_store, flows, empty_url, tmp_path):
    """Before the publish the user leaves the folder; after it, what was published meanwhile."""
    on_users(empty_url, lambda users: users.forget_impressions("user-1"))
    deletions = Deletions(flows)
    assert [*deletions.before] == [digest_of("user-1")]
    on_users(empty_url, lambda users: users.forget_user("user-7"))
    forget_later.fn(deletions, folder)
    Publisher(empty_store, tmp_path).publish(folder)
    on_users(empty_url, lambda users: users.forget_impressions("user-8"))
    forget_later.fn(deletions, folder)
    there = empty_store.read_records("g1", folder.manifest.user_buckets, ["user-1", "user-7", "user-8"])
    assert there[0] is not None
    assert there[1:] == [None, None]
    assert [user for user in GONE if user in content(folder)] == ["user-0", "user-1099"]


def test_a_run_after_a_kill_ends_in_the_same_folder(tmp_path):
    """At each write the folder is the old or the new one for a reader that verifies it, or the next run mends it."""
    number = 0

    def fresh():
        nonlocal number
        number += 1
        return random_generation(tmp_path / str(number), "g1", 100, 8, 50, 20)

    gone = {digest_of("user-7")}
    whole = fresh()
    total, _ = die_at(0, lambda: forget_users(whole, gone) and None)
    assert total > 10
    for point in range(1, total + 1):
        folder = fresh()
        _, place = die_at(point, lambda folder=folder: forget_users(folder, gone) and None)
        forget_users(GenerationFolder(folder.path), gone)
        assert folder.verify(users=True).users_left == 49, place
        assert "user-7" not in content(folder)
        assert sorted(path.name for path in folder.path.iterdir() if path.name.startswith(".")) == [".verified"]
