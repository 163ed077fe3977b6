"""Bodies: how much of one is held, and how much of that is shown once the secrets are cut out of it.

A text is cut after its secrets are: half of one is not known as one. So a little more is held than is shown, and what is held
of JSON is JSON again, since some secrets are known only by where they stand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .messages import cut
from .redaction import Redactor

MARGIN = 8 * 1024
"""How much more is looked at than is kept, in bytes: longer than any token."""
# How deep JSON may be nested to be gone through; what is deeper is no text that anybody sees.
_DEEPEST = 200


@dataclass(frozen=True)
class Body:
    """As much of a body as is held, and the size of the whole in bytes."""

    text: str
    size: int
    cap: int
    """How many bytes are kept at most."""
    is_whole: bool
    """Whether all of it is held."""

    @classmethod
    def of(cls, value: Any, cap: int) -> Body:
        """Of a value of JSON."""
        text = _written(value)
        size = _size(text)
        if size <= cap + MARGIN:
            return cls(text if cap else "", size, cap, True)
        return cls(_written(_beginning(value, cap + MARGIN)) if cap else "", size, cap, False)

    @classmethod
    def of_text(cls, text: str, size: int, cap: int) -> Body:
        """Of a text that need not be JSON, of which this much is there."""
        if _size(text) <= cap + MARGIN:
            return cls(text if cap else "", size, cap, _size(text) >= size)
        if text.lstrip()[:1] in ("{", "["):
            try:
                return cls(_written(_beginning(json.loads(text), cap + MARGIN)), size, cap, False)
            except (ValueError, RecursionError):
                pass
        return cls(cut(text, cap + MARGIN), size, cap, False)

    @property
    def is_cut(self) -> bool:
        """Whether less is kept than there was."""
        return self.size > self.cap or not self.is_whole

    def redacted(self, redactor: Redactor) -> str:
        """What is kept, without the secrets in it."""
        text = redactor.json(self.text)
        if not self.is_cut:
            return text
        # What stands before the end of what was looked at may be half of a secret.
        most = self.cap if self.is_whole else min(self.cap, max(0, _size(text) - MARGIN))
        return cut(text, most)


def beginning(text: str, most: int, redactor: Redactor) -> str:
    """At most so many bytes of a text, without the secrets in it."""
    if len(text) * 4 <= most or _size(text) <= most:
        return redactor.text(text)
    return Body.of_text(text, _size(text), most).redacted(redactor)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _beginning(value: Any, room: int) -> Any:
    """So much of a value, in order, that its text is about so many bytes long, or somewhat longer."""
    left = room

    def taken(value: Any, depth: int) -> Any:
        nonlocal left
        if isinstance(value, str):
            text = value if len(value) * 4 <= left else cut(value, max(left, 0))
            left -= len(text) + 2
            return text
        if not isinstance(value, (Mapping, list, tuple)):
            left -= 4
            return value
        left -= 2
        if depth > _DEEPEST:
            return None
        if not isinstance(value, Mapping):
            items: list[Any] = []
            for item in value:
                if left <= 0:
                    break
                items.append(taken(item, depth + 1))
            return items
        members: dict[Any, Any] = {}
        for name, member in value.items():
            if left <= 0:
                break
            kept = taken(str(name), depth)
            members[kept] = taken(member, depth + 1)
        return members

    return taken(value, 0)
