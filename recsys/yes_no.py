"""Convert words of shop data to true or false: "in stock" and "yes" to True, "Out of stock" and "0" to False.

All boolean columns use it, such as the availability of an item, and so do filters in requests.
"""

from __future__ import annotations

from collections.abc import Mapping

WORDS = {
    True: ("true", "t", "yes", "y", "1", "1.0", "in stock", "instock", "available"),
    False: ("false", "f", "no", "n", "0", "0.0", "out of stock", "outofstock", "sold out", "unavailable"),
}
"""The words of each value, in the form of `plain`. The longer ones are of common shop systems."""

VOCABULARY = {word: meaning for meaning, words in WORDS.items() for word in words}


def yes_or_no(value: object, more: Mapping[str, bool] | None = None) -> bool | None:
    """The meaning of a cell; None for an unknown word. more: further words, or other meanings of known ones."""
    word = plain(value)
    for known, meaning in (more or {}).items():
        if plain(known) == word:
            return meaning
    return VOCABULARY.get(word)


def plain(value: object) -> str:
    """A cell as lower-case text with single spaces: "In_Stock " becomes "in stock"."""
    return " ".join(str(value).casefold().replace("_", " ").replace("-", " ").split())
