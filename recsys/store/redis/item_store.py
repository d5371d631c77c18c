"""Items that are put while a generation is in force: the ports, and what does them in Redis or Valkey.

| key | type | holds |
|---|---|---|
| items:epoch | string | a number drawn when the first item was put into an empty store |
| items:next | string | the seq given last; the first of an epoch is drawn too, so no two epochs share any |
| items:version | string | how many puts there were |
| items:changed | zset | ids by the version of their last put |
| items:hidden | set | ids put to be hidden, of which nothing was said since but whether they are available |
| item:{item_id} | hash | seq, version, at; and id, title, available, content:{column}, each as "time JSON" |

All of them go ITEMS_EXPIRE after the last put, and each item by itself that long after its own. Times are the
store's: one clock for all who put. Two ports, as for generations and users: a process that serves reads what changed,
one command at a time (`ItemReader`, sync); the gateway puts (`ItemWriter`, async).
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from recsys.errors import StoreError
from recsys.fresh_items.put_items import CAPACITY, HIDING_CAPACITY, ITEMS_EXPIRE, Put, PutItem, PutItems
from recsys.store.key_names import text_of
from recsys.store.redis.connection import address, sentences, watched
from recsys.types import Id

ITEMS_CHANNEL = "items"
"""Where a put is announced by its version. Messages can get lost: look as well."""

_SECONDS = 1.0
"""Connect and answer: a thread that follows does nothing else meanwhile, and a put waits no longer."""

_READ_AT_ONCE = 500
"""Items in one pipeline: some hundred kilobytes, and a millisecond of the store's time."""

FIRST_SEQ = 1 << 30
"""The first seq of an epoch lies below: room for a billion puts of new items before rows of 32 bits end."""

_EPOCH, _NEXT, _VERSION, _CHANGED = "items:epoch", "items:next", "items:version", "items:changed"
_HIDDEN = "items:hidden"
_FORGET_AT_ONCE = CAPACITY
"""Items in one script: the store does nothing else meanwhile."""

_CONTENT = "content:"

_PUT = """
local first, room, most, expire, channel = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local epoch, nextseq, version, changed, hidden = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local oldest = redis.call('ZRANGE', changed, 0, 0)[1]
while oldest and redis.call('EXISTS', 'item:' .. oldest) == 0 do
  redis.call('ZREM', changed, oldest)
  redis.call('SREM', hidden, oldest)
  oldest = redis.call('ZRANGE', changed, 0, 0)[1]
end
local at, new, placed, hides = 6, 0, 0, {}
for i = 6, #KEYS do
  local id, fields = ARGV[at], tonumber(ARGV[at + 1])
  local there = hides[id] ~= nil or redis.call('ZSCORE', changed, id)
  local was = hides[id]
  if was == nil then was = there and redis.call('SISMEMBER', hidden, id) == 1 end
  -- The id comes first; where availability is all that follows, nothing is to be scored.
  local available = fields == 2 and ARGV[at + 4] == 'available' and ARGV[at + 5]
  hides[id] = available and (was or not there and available == 'false') or false
  if not there then new = new + 1 end
  if not hides[id] and (was or not there) then placed = placed + 1 end
  at = at + 2 + 2 * fields
end
local kept = redis.call('ZCARD', changed)
if new > 0 and kept + new > most then return 0 end
if placed > 0 and kept - redis.call('SCARD', hidden) + placed > room then return 0 end
if redis.call('EXISTS', epoch, nextseq, version) < 3 then
  redis.call('SET', epoch, first)
  redis.call('SET', nextseq, first)
  redis.call('SET', version, redis.call('ZRANGE', changed, -1, -1, 'WITHSCORES')[2] or 0)
end
local v = redis.call('INCR', version)
local clock = redis.call('TIME')
local now = clock[1] .. '.' .. string.format('%06d', clock[2])
at = 6
for i = 6, #KEYS do
  local key, id, fields = KEYS[i], ARGV[at], tonumber(ARGV[at + 1])
  if redis.call('HEXISTS', key, 'seq') == 0 then redis.call('HSET', key, 'seq', redis.call('INCR', nextseq)) end
  redis.call('HSET', key, 'version', v, 'at', now)
  at = at + 2
  for field = 1, fields do
    redis.call('HSET', key, ARGV[at], now .. ' ' .. ARGV[at + 1])
    at = at + 2
  end
  redis.call('EXPIRE', key, expire)
  redis.call('ZADD', changed, v, id)
  redis.call(hides[id] and 'SADD' or 'SREM', hidden, id)
end
for i = 1, 5 do redis.call('EXPIRE', KEYS[i], expire + 3600) end
redis.call('PUBLISH', channel, v)
return v
"""


_FORGET = """
-- version, changed, hidden, items; of each item its id and the version it has to have, or nothing for any
local version, changed, hidden, gone = KEYS[1], KEYS[2], KEYS[3], 0
for i = 4, #KEYS do
  if ARGV[2 * i - 6] == '' or redis.call('HGET', KEYS[i], 'version') == ARGV[2 * i - 6] then
    gone = gone + redis.call('UNLINK', KEYS[i])
    redis.call('ZREM', changed, ARGV[2 * i - 7])
    redis.call('SREM', hidden, ARGV[2 * i - 7])
  end
end
if gone > 0 then redis.call('INCR', version) end
return gone
"""


class ItemReader(Protocol):
    """What was put, for every process that serves. StoreUnavailable where the store can't be reached."""

    def changes(self, known: PutItems) -> PutItems:
        """All that was put, given what is known already; `known` itself where nothing changed or nothing is there."""

    def wait(self, seconds: float, calm: float) -> bool:
        """Whether a put was announced, or may have been unheard; False after so long, where one would have been heard
        after `calm`. Never an error.
        """


class ItemWriter(Protocol):
    """Puts items."""

    async def put(self, puts: Sequence[Put]) -> bool:
        """Put items, all or none, the last of the same id last; False where there is no room for them.

        There is for CAPACITY items, and beside them, up to HIDING_CAPACITY together, for those of which nothing was
        said but that they are hidden, or shown again.
        """

    async def forget(self, items: Sequence[PutItem]) -> None:
        """Make room: drop items that were not put again since."""

    async def read(self, item_id: Id) -> PutItem | None:
        """What was put of an item; None where nothing was."""

    async def remove(self, item_id: Id) -> bool:
        """Drop what was put of an item; whether there was anything."""

    async def close(self) -> None:
        """Let go of connections."""


class RedisItemReader:
    """Reads what was put; SettingsError if `url` is none. It belongs to one thread."""

    def __init__(self, url: str) -> None:
        self.address = address(url)
        self._redis = redis.Redis.from_url(
            url,
            socket_connect_timeout=_SECONDS,
            socket_timeout=_SECONDS,
            **watched(url),
            retry=Retry(NoBackoff(), 1, (redis.ConnectionError,)),
        )
        self._announced: redis.client.PubSub | None = None

    def changes(self, known: PutItems) -> PutItems:
        with sentences(self.address):
            told: Any = self._redis.mget(_EPOCH, _VERSION)
            if None in told:
                return known  # nothing was put, or the store was emptied: what is known is the best there is
            epoch, version = told[0].decode(), int(told[1])
            if (epoch, version) == (known.epoch, known.version):
                return known
            joined = known.joined(self._since(known.version if epoch == known.epoch else 0), epoch, version)
            if len(joined) > int(self._redis.zcard(_CHANGED)):
                return PutItems().joined(self._since(0), epoch, version)  # some were forgotten
            return joined

    def wait(self, seconds: float, calm: float) -> bool:
        start = time.monotonic()
        try:
            if self._announced is None:
                announced = self._redis.pubsub()  # type: ignore[no-untyped-call]
                announced.subscribe(ITEMS_CHANNEL)
                self._announced = announced
            while (left := start + calm - time.monotonic()) > 0:
                # That it subscribed is a message, too, also where redis-py did so anew by itself: before, it was deaf.
                if self._announced.get_message(timeout=left) is not None:
                    while self._announced.get_message(timeout=0) is not None:
                        pass  # a look that comes after them is for all
                    return True
        except (redis.RedisError, OSError):
            # No store, or no right to subscribe: looking again after a while does for both.
            self._unsubscribe()
            time.sleep(max(0.0, start + seconds - time.monotonic()))
        return False

    def close(self) -> None:
        """Let go of connections."""
        self._unsubscribe()
        self._redis.close()

    def _unsubscribe(self) -> None:
        if self._announced is not None:
            with contextlib.suppress(redis.RedisError, OSError):
                self._announced.close()
        self._announced = None

    def _since(self, version: int) -> Iterator[PutItem]:
        """The items put after a version that are there and can be read."""
        ids: Any = self._redis.zrangebyscore(_CHANGED, f"({version}", "+inf")
        for start in range(0, len(ids), _READ_AT_ONCE):
            with self._redis.pipeline(transaction=False) as pipe:
                for text in ids[start : start + _READ_AT_ONCE]:
                    pipe.hgetall(_key(text))
                for raw in pipe.execute(raise_on_error=False):
                    if isinstance(raw, dict) and (item := _item(raw)) is not None:
                        yield item


class RedisItemWriter:
    """Puts items; SettingsError if `url` is none. It belongs to one event loop."""

    def __init__(self, url: str) -> None:
        self.address = address(url)
        # A put that may have been done is not repeated by itself: it counts, and is announced, once.
        self._redis = redis.asyncio.Redis.from_url(
            url,
            socket_connect_timeout=_SECONDS,
            socket_timeout=_SECONDS,
            retry=AsyncRetry(NoBackoff(), 0),
            **watched(url),
        )

    async def put(self, puts: Sequence[Put]) -> bool:
        if not puts:
            return True
        texts = [str(put.item_id).encode("utf-8", "surrogatepass") for put in puts]
        told: list[bytes | str | int] = []
        for text, put in zip(texts, puts, strict=True):
            fields = said(put)
            told += [text, len(fields), *(part for name, value in fields.items() for part in (name, value))]
        keys = [_EPOCH, _NEXT, _VERSION, _CHANGED, _HIDDEN, *map(_key, texts)]
        limits = [secrets.randbelow(FIRST_SEQ), CAPACITY, HIDING_CAPACITY, ITEMS_EXPIRE, ITEMS_CHANNEL]
        return bool(await self._run(_PUT, keys, [*limits, *told]))

    async def forget(self, items: Sequence[PutItem]) -> None:
        for start in range(0, len(items), _FORGET_AT_ONCE):
            some = items[start : start + _FORGET_AT_ONCE]
            texts = [item.text.encode("utf-8", "surrogatepass") for item in some]
            told = [part for text, item in zip(texts, some, strict=True) for part in (text, item.version)]
            await self._run(_FORGET, [_VERSION, _CHANGED, _HIDDEN, *map(_key, texts)], told)

    async def read(self, item_id: Id) -> PutItem | None:
        with sentences(self.address):
            raw: Any = await self._redis.hgetall(_key(text_of(item_id)))
            return _item(raw)

    async def remove(self, item_id: Id) -> bool:
        text = text_of(item_id)
        return bool(await self._run(_FORGET, [_VERSION, _CHANGED, _HIDDEN, _key(text)], [text, ""]))

    async def close(self) -> None:
        await self._redis.aclose()

    async def _run(self, script: str, keys: Sequence[Any], told: Sequence[Any]) -> Any:
        with sentences(self.address):
            try:
                return await self._redis.eval(script, len(keys), *keys, *told)
            except redis.exceptions.NoPermissionError as error:
                raise StoreError(f"The Redis user of this service may not put items: {error}.") from error


def said(put: Put) -> dict[str, str]:
    """The fields that a put sets, as JSON; the id among them, as it came."""
    fields: dict[str, object] = {"id": put.item_id}
    if put.title is not None:
        fields["title"] = put.title
    if put.available is not None:
        fields["available"] = put.available
    fields |= {f"{_CONTENT}{column}": value for column, value in put.content.items()}
    return {name: json.dumps(value, separators=(",", ":")) for name, value in fields.items()}


def _key(text: bytes) -> bytes:
    return b"item:" + text


def _item(raw: dict[bytes, bytes]) -> PutItem | None:
    """An item as it is stored; None for what is none."""
    try:
        times, told = {}, {}
        for name, value in raw.items():
            if name not in (b"seq", b"version", b"at"):
                moment, _, text = value.partition(b" ")
                times[name.decode()], told[name.decode()] = float(moment), json.loads(text)
        title = told.get("title")
        return PutItem(
            item_id=told["id"],
            seq=int(raw[b"seq"]),
            version=int(raw[b"version"]),
            put_at=float(raw[b"at"]),
            title=None if title is None else str(title),
            title_at=times.get("title", 0.0),
            available=bool(told.get("available", True)),
            available_at=times.get("available", 0.0),
            content={k.removeprefix(_CONTENT): v for k, v in told.items() if k.startswith(_CONTENT)},
        )
    except (ValueError, KeyError, RecursionError):
        return None
