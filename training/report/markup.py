"""HTML as a value: text is escaped by being text, and only what an element returns is taken as it is."""

from __future__ import annotations

from html import escape


class Markup(str):
    """A piece of HTML; any other string is text."""

    __slots__ = ()


def element(tag: str, *children: object, **attributes: object) -> Markup:
    """`<tag name="value">children</tag>`; None is left out, `class_` is class, and `_` in a name is `-`."""
    told = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_safe(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{tag}{told}>{join(*children)}</{tag}>")


def join(*children: object) -> Markup:
    """Children one after the other; None is left out."""
    return Markup(
        "".join(child if isinstance(child, Markup) else _safe(child) for child in children if child is not None)
    )


def _safe(value: object) -> str:
    """Text as it may stand in an element or an attribute; half a surrogate pair, which no file can hold, is a `?`."""
    return escape(str(value).encode("utf-8", "replace").decode("utf-8"))
