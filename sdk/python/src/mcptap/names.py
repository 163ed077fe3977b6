"""Names under which secrets stand, and whether what stands there is one: ``model/src/redact/names.rs`` and ``named.rs`` for whole
names, over the same table."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from .looks import is_drawn, is_harmless, is_lot, is_placeholder, is_random, is_words
from .semconv import TABLES

Kind = Literal["key", "secret", "weak", "affixed", "loose", "pin", "token", "phrase", "cookie", "authorization"]

_TABLE = TABLES["redaction"]
_NAMES = {kind: frozenset(words) for kind, words in _TABLE["names"].items()}
_SCHEMES = frozenset(_TABLE["schemes"])
_OTHERS: dict[str, Kind] = {
    "token": "token", "mnemonic": "phrase", "seedphrase": "phrase", "cookie": "cookie", "cookies": "cookie",
    "authorization": "authorization",
}
_JOINTS = re.compile(r"[_\-.\s]+|(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])")
_LONGEST = 256


def _bare(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name.replace("?", "") for name in names)


_SECRET, _WEAK, _PIN, _LOOSE = (_bare(_NAMES[kind]) for kind in ("secret", "weak", "pin", "loose"))
# More than one word may make a name: `shared access key`.
_MOST_WORDS = 4


@lru_cache(maxsize=4096)
def kind_of(name: str, keys: frozenset[str] = frozenset()) -> Kind | None:
    """The kind of a whole name; ``None`` where no secrets stand under it. ``keys`` are the operator's, as :func:`key` has them."""
    words = [word.lower() for word in _JOINTS.split(name[-_LONGEST:].strip("-_ .")) if word]
    if not words:
        return None
    if any(bare(words, begin, len(words)) in keys for begin in range(len(words))):
        return "key"
    for end in range(len(words), 0, -1):
        kind = _ending(words, end)
        if kind is None:
            continue
        behind = [word for word in words[end:] if not word.isdigit()]
        if not words[end:]:
            return kind
        if kind in ("pin", "cookie", "authorization", "phrase") or (behind and behind[-1] in _NAMES["another"]):
            return None
        if kind == "loose" or all(word in _NAMES["same"] for word in behind):
            return kind
        return "affixed"
    return None


def bare(words: list[str], begin: int, end: int) -> str:
    """Some of the words of a name in one."""
    return "".join(words[begin:end])


def key(name: str) -> str:
    """An operator's key as it is compared: capitals are small letters, and joints are nothing."""
    return re.sub(r"[_\-.\s]+", "", name).lower()


def _ending(words: list[str], end: int) -> Kind | None:
    """The kind of what ends with the word before ``end``."""
    for begin in range(max(0, end - _MOST_WORDS), end):
        name = bare(words, begin, end)
        if name in _SECRET:
            return "secret"
        if name in _OTHERS and name != "token":
            return _OTHERS[name]
        if name in _WEAK:
            return "weak"
        if name in _PIN and len(words) == end:
            return "pin"
    before = words[end - 2] if end > 1 else None
    if words[end - 1] in ("token", "tokens"):
        if words[end - 1] == "tokens":
            return None
        if before is None:
            return "token"
        joined = bare(words, 0, end - 1)
        if before in _NAMES["doubtful"] or joined in _NAMES["doubtful"]:
            return "affixed"
        return None if before in _NAMES["harmless"] or joined in _NAMES["harmless"] else "secret"
    if words[end - 1] in _LOOSE and (before is not None or end < len(words)):
        is_other = before in _NAMES["otherKeys"] or bare(words, max(0, end - 3), end - 1) in _NAMES["otherKeys"]
        return None if is_other else "loose"
    return None


def is_secret(kind: Kind, value: str, marker: str) -> bool:
    """Whether a text under a name of this kind is a secret."""
    if kind == "key":
        return value != marker
    if not value or value == marker or is_cut(value) or is_placeholder(value):
        return False
    if kind == "secret":
        return not is_harmless(value)
    if kind == "weak":
        return is_drawn(value) and not is_words(value) and not is_harmless(value)
    if kind == "affixed":
        return is_lot(value) and not is_harmless(value)
    if kind == "loose":
        return is_random(value)
    if kind == "pin":
        return is_lot(value) or re.fullmatch(r"[0-9]{3,8}", value) is not None
    if kind == "token":
        return _is_token(value)
    if kind == "phrase":
        return len(value.split()) >= 11
    if kind == "cookie":
        return "=" in value
    scheme, _, rest = value.partition(" ")
    if scheme.lower() in _SCHEMES and rest.strip():
        return not is_placeholder(rest.strip()) and not is_cut(rest.strip())
    return is_drawn(value) or (len(value) >= 12 and " " not in value and not is_harmless(value))


def is_secret_number(kind: Kind, number: int | float) -> bool:
    """Whether a number under a name of this kind is a secret; short ones are counts."""
    if kind == "key":
        return True
    return kind == "secret" and isinstance(number, int) and len(str(number)) >= 4 and number >= 0


def is_cut(value: str) -> bool:
    """Whether it is what cutting a credential leaves: ten characters and an ellipsis."""
    return value.endswith("…") and len(value) <= 11


def _is_token(value: str) -> bool:
    mixed = re.search(r"[0-9]", value) is not None and re.search(r"[A-Za-z]", value) is not None
    is_address = re.fullmatch(r"0x[0-9A-Fa-f]{40}", value) is not None
    is_numbered = re.fullmatch(r"[A-Za-z]{0,10}[0-9]{0,4}", value) is not None
    return (
        value.isascii()
        and len(value) >= 8
        and re.search(r"\s", value) is None
        and not is_address
        and not is_numbered
        and (mixed or is_drawn(value))
    )

