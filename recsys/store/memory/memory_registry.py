"""Keep the announcements of server processes (which trained models each one has loaded) in a dict, for unit tests."""

from __future__ import annotations

import threading

from recsys.store.process_registry import Announcement


class MemoryProcessRegistry:
    """A `ProcessRegistry` over a dict."""

    def __init__(self) -> None:
        self._announced: dict[str, Announcement] = {}
        self._alias_moved = threading.Event()

    def announce(self, announcement: Announcement) -> None:
        self._announced[announcement.name] = announcement

    def withdraw(self, name: str) -> None:
        self._announced.pop(name, None)

    def processes(self) -> list[Announcement]:
        return [self._announced[name] for name in sorted(self._announced) if not self._announced[name].ended]

    def remove_ended(self) -> list[Announcement]:
        ended = [announcement for announcement in self._announced.values() if announcement.ended]
        for announcement in ended:
            self.withdraw(announcement.name)
        return ended

    def wait(self, seconds: float) -> None:
        self._alias_moved.wait(seconds)
        self._alias_moved.clear()

    def ring(self) -> None:
        """End a `wait`, as a moved alias does."""
        self._alias_moved.set()

    def close(self) -> None:
        """There is no connection to close."""
