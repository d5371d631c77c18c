"""Load the Lua scripts of the folder `lua`, which make changes in Redis that must happen in one step.

Each script begins with a comment that names its KEYS and ARGV. The line `-- include FILE` is replaced by the
functions in that file. Comments are removed here, because most scripts are sent with every call.

A script that takes a token changes nothing unless the key `publishing` holds this token. So a process that was paused
during the upload of a trained model, for longer than its lock lasts, can no longer write. An empty token means a call
without the lock.
"""

from __future__ import annotations

import re
from pathlib import Path

_FOLDER = Path(__file__).parent / "lua"


def load(name: str) -> str:
    """The text of a script with the functions that it includes, without comment lines."""
    text = (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    text = re.sub(r"^-- include (\S+)$", lambda found: load(found[1]), text, flags=re.MULTILINE)
    return re.sub(r"^\s*--.*\n|^\n", "", text, flags=re.MULTILINE)


CLAIM = load("generations/claim")
RENEW = load("generations/renew")
RELEASE = load("generations/release")
STORED_SIZES = load("generations/stored_sizes")
OVERWRITE_CHUNK = load("generations/overwrite_chunk")
WRITE_RECORDS = load("generations/write_records")
WRITE_MANIFEST = load("generations/write_manifest")
MOVE_LIVE = load("generations/move_live")
DELETE = load("generations/delete")
DISCARD = load("generations/discard")

ADD_EVENTS = load("users/add_events")
MERGE_USERS = load("users/merge_users")
FORGET_RECORD = load("users/forget_record")
WRITE_LISTS = load("users/write_lists")

ADD_IMPRESSIONS = load("streams/add_impressions")
LIMIT_STREAM = load("streams/limit")
LOCK_STREAM = load("streams/lock")
MARK_ENTRIES = load("streams/mark_entries")
COPY_ENTRIES = load("streams/copy_entries")

BEGIN_FILE = load("collection/begin")
FINISH_FILE = load("collection/finish")

WRITE_EXPERIMENTS = load("experiments/write")

PUT_ITEMS = load("items/put")
FORGET_ITEMS = load("items/forget")
