"""Types of command-line options for load tests: each checks and converts a value; its error names the right values."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def number(kind: Callable[[str], float], least: float, most: float) -> Callable[[str], float]:
    """A type of an option: a number within limits."""

    def read(text: str) -> float:
        with suppress(ValueError):
            value = kind(text)
            if least <= value <= most:
                return value
        raise ArgumentTypeError(f"{text!r} is not a {'whole ' if kind is int else ''}number from {least:g} to {most:g}")

    return read


share = number(float, 0, 1)


def user_file(text: str) -> str:
    """A file of ids, one a line."""
    with suppress(OSError, UnicodeError):
        if Path(text).read_text(encoding="utf-8").splitlines():
            return text
    raise ArgumentTypeError(f"{text!r} is not a file with an id a line")


def result_file(text: str) -> str:
    """A file that can be written; its folder is made."""
    path = Path(text)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_dir() and os.access(path if path.exists() else path.parent, os.W_OK):
            return text
    raise ArgumentTypeError(f"{text!r} is not a file that can be written")


def items(text: str) -> int:
    """A number of items, such as 100k or 1M."""
    with suppress(ValueError):
        value = int(text.lower().replace("k", "000").replace("m", "000000"))
        if 1_000 <= value <= 10_000_000:
            return value
    raise ArgumentTypeError(f"{text!r} is not a whole number from 1,000 to 10,000,000, like 100k")


def one_of(names: Collection[str]) -> Callable[[str], str]:
    """A type of an option: one of these names."""

    def read(text: str) -> str:
        if text in names:
            return text
        raise ArgumentTypeError(f"{text!r} is none of {', '.join(names)}")

    return read


def several(kind: Callable[[str], T]) -> Callable[[str], list[T]]:
    """A type of an option: values of a kind with commas between, none twice."""

    def read(text: str) -> list[T]:
        found = [kind(each) for each in text.split(",")]
        if twice := [each for each in found if found.count(each) > 1]:
            raise ArgumentTypeError(f"{twice[0]!r} is named twice")
        return found

    return read
