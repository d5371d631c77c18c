"""A deletion during a training: the user is in neither the folder nor the store when the generation is live."""

from threading import Thread

from flows.forgetting.deleted_users import remove_deleted_users
from flows.forgetting.generations_lock import generations_lock
from recsys.generation.manifest import GenerationFolder
from recsys.generation.upload import Upload
from tests.flows.ring_dataset import ring, write

DELETED = {"run": "u-7", "_write_users": "u-8"}
"""By the step of the upload before which the user is deleted: both are after the manifest was read."""

QUICK = {"tower": {"epochs": 1}, "ranker": {"epochs": 1}}


def test_drain_during_a_publish(shop, tmp_path, monkeypatch):
    """A run of `drain` changes no folder that a publish reads, and the next run looks there again."""
    from flows.train import run

    removed = []

    def delete_before(step):
        upload = getattr(Upload, step)

        def with_a_deletion(self, *arguments):
            shop.with_users(lambda users: users.forget_user(DELETED[step]))
            removed.append(remove_deleted_users.fn(shop.flows, [], tmp_path))
            return upload(self, *arguments)

        monkeypatch.setattr(Upload, step, with_a_deletion)

    for step in DELETED:
        delete_before(step)
    made = run(str(write(tmp_path / "data", ring(users=60, strings=True))), "small", QUICK, force=True).manifest
    folder, note = GenerationFolder(tmp_path / "generations" / made.id), tmp_path / "deletions.json"
    assert removed == [0, 0]
    assert str(tmp_path / "generations") not in note.read_text()
    assert folder.verify(users=True).users_left == 58
    there = shop.generations.read_records(made.id, made.user_buckets, [*DELETED.values(), "u-9"])
    assert [record is None for record in there] == [True, True, False]
    assert shop.generations.aliases()[0] == made.id
    remove_deleted_users.fn(shop.flows, [], tmp_path)
    assert str(tmp_path / "generations") in note.read_text()


def test_one_process_at_a_time_changes_generations(tmp_path, caplog):
    """A second `drain` leaves the folder to a later run. A second publish waits for the first, and logs that."""
    with generations_lock(tmp_path) as first:
        assert first
        with generations_lock(tmp_path, wait=False) as second:
            assert not second
        waiting = Thread(target=generations_lock(tmp_path).__enter__, daemon=True)
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        assert "Another process uses the generations" in caplog.text
    waiting.join(10)
    assert not waiting.is_alive()
