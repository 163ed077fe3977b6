"""Ids of JSON-RPC, compared by value: the number 1 and the text "1" are two ids; 1, 1.0 and 1e0 are one."""

from __future__ import annotations

import json
import re
from typing import Any

_NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,9}))?")
# The longest integer that is written out, in digits; what is longer keeps its exponent.
_LONGEST_INTEGER = 64
# The longest id that is kept, in characters.
_LONGEST = 4096


def canonical(token: str) -> str | None:
    """A JSON number in the one form that all numbers of its value have: an integer written out, or digits without zeros
    around them and an exponent. ``None`` for what is no number of JSON."""
    found = _NUMBER.fullmatch(token) if len(token) <= _LONGEST else None
    if found is None:
        return None
    sign, whole, fraction, power = found[1], found[2], found[3] or "", int(found[4] or 0)
    leading = (whole + fraction).lstrip("0")
    digits = leading.rstrip("0")
    if not digits:
        return "0"
    exponent = power - len(fraction) + len(leading) - len(digits)
    if 0 <= exponent <= _LONGEST_INTEGER - len(digits):
        return f"{sign}{digits}{'0' * exponent}"
    return f"{sign}{digits}{f'e{exponent}' if exponent else ''}"


def written(id: Any) -> str:
    """An id as records have it."""
    if isinstance(id, str):
        return id[:_LONGEST]
    token = json.dumps(id, default=str)
    return canonical(token) or token[:_LONGEST]


def exact(id: Any) -> str:
    """An id as it is compared."""
    return f'"{id[:_LONGEST]}' if isinstance(id, str) else written(id)


def digits(id: Any) -> str:
    """The same for ids that some peer takes for the same: a text counts as the number that it spells."""
    return (canonical(id) or id[:_LONGEST]) if isinstance(id, str) else written(id)
