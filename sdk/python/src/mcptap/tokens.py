"""Tokens that are known by their shape: the table of ``model/src/redact/shapes.rs`` and ``patterns.rs``, read by regular
expressions."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from .looks import is_lot, is_sample
from .semconv import TABLES

_TABLE = TABLES["redaction"]
_LOOK = 200

_CLASSES = {
    "a": "A-Za-z0-9", "A": "A-Z0-9", "h": "0-9a-f", "H": "0-9A-Fa-f", "D": "0-9", "w": "A-Za-z0-9_", "d": "A-Za-z0-9_=-",
    "t": "A-Za-z0-9_=.-", "b": "A-Za-z0-9_=+/-", "p": "A-Za-z0-9%", "_": "_-",
    "hex": "0-9a-f", "upper": "A-Z0-9", "word": "A-Za-z0-9_", "dashed": "A-Za-z0-9_-", "dotted": "A-Za-z0-9_.-",
    "base64": "A-Za-z0-9_+/=%-",
}


@dataclass(frozen=True)
class _Shape:
    rest: re.Pattern[str]
    inside: re.Pattern[str]
    """What it is made of."""
    drawn: bool
    mixed: bool
    digit: bool
    keeps_prefix: bool
    loose: bool
    """Whether it may go on a short word: it is so long and particular that nothing else is written so."""

    def end(self, text: str, at: int) -> int | None:
        """Where the token ends whose prefix ends at ``at``."""
        # What is looked at is bounded, so that a long text that is no token is not gone through for each beginning of one in it.
        look = text[at : at + _LOOK]
        inside = self.inside.match(look)
        look = look[: inside.end() if inside else 0]
        if self.mixed and not (re.search(r"[0-9]|[a-z][A-Z]", look) and re.search(r"[A-Za-z]", look)):
            return None
        if self.drawn and not is_lot(look[:64]):
            return None
        if self.digit and not re.search(r"[0-9]", look):
            return None
        found = self.rest.match(text, at)
        if found is None:
            return None
        end = found.end()
        while end - at > 1 and text[end - 1] == ".":
            end -= 1
        return end


def _of_class(name: str, least: int, most: int | None, last: bool) -> str:
    inside = _CLASSES[name]
    text = f"[{inside}]{{{least},{'' if most is None else most}}}"
    # Behind a token there is no more of its kind; padding may follow.
    return f"{text}(?![A-Za-z0-9{inside.replace('=', '')}])" if last else text


def _pattern(rest: str) -> str:
    """The pattern of ``{c n-m}`` as a regular expression."""
    parts = re.split(r"\{(.)(\d*)(-?)(\d*)\}", rest)
    text = re.escape(parts[0])
    for at in range(1, len(parts), 5):
        name, least, dash, most, literal = parts[at : at + 5]
        bounds = (int(least or 1), (int(most) if most else None) if dash else int(least or 1))
        is_last = at + 5 >= len(parts) and not literal
        text += _of_class(name, *bounds, last=is_last) + re.escape(literal)
    return text if rest.endswith("}") else f"{text}(?![A-Za-z0-9])"


_ANY = re.compile(r"[^\s\"']*")


def _shapes() -> dict[str, list[_Shape]]:
    shapes: dict[str, list[_Shape]] = defaultdict(list)
    for shape in _TABLE["shapes"]:
        most = shape["most"]
        text = _of_class(shape["class"], shape["least"], most, last=most is not None)
        inside = re.compile(f"[{_CLASSES[shape['class']]}]*")
        made = _Shape(re.compile(text), inside, shape["drawn"], shape["mixed"], False, shape["keepsPrefix"],
                      shape["keepsPrefix"] or (shape["least"] >= 20 and not shape["mixed"]))
        for prefix in shape["prefixes"]:
            shapes[prefix].append(made)
    for pattern in _TABLE["patterns"]:
        rest = re.compile(_pattern(pattern["rest"]))
        shapes[pattern["prefix"]].append(
            _Shape(rest, _ANY, False, False, pattern["border"] == "drawn", False, pattern["border"] == "none")
        )
    return shapes


def _trie(words: list[str]) -> str:
    """An expression that finds the words without trying each of them everywhere."""
    groups: dict[str, list[str]] = defaultdict(list)
    for word in words:
        groups[word[:1]].append(word[1:])
    if len(groups) == 1 and "" not in groups:
        ((first, rest),) = groups.items()
        return re.escape(first) + (_trie(rest) if any(rest) else "")
    branches = [re.escape(first) + (_trie(rest) if any(rest) else "") for first, rest in groups.items() if first]
    return f"(?:{'|'.join(branches)}){'?' if '' in groups else ''}"


_SHAPES = _shapes()
_LENGTHS = sorted({len(prefix) for prefix in _SHAPES}, reverse=True)
_PREFIX = re.compile(rf"(?<![A-Za-z0-9])(?={_trie(sorted(_SHAPES))})")
_LOOSE = sorted(prefix for prefix, shapes in _SHAPES.items() if any(shape.loose for shape in shapes))
# In the middle of a long run of letters anything may stand by chance.
_BLOB = 24

_RUN = re.compile(r"[A-Za-z0-9_.-]{20,}")
_WEB_HEADER = re.compile(r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,}")
# As long as the shortest of those that may go on a word.
_LONG_RUN = re.compile(r"[A-Za-z0-9_.=+/%-]{22}")
_SHORTEST = 14
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
    r"[\s\S]*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)"
)
_TELEGRAM = re.compile(r"(?<![0-9])[0-9]{8,10}:AA[A-Za-z0-9_-]{31,38}(?![A-Za-z0-9_-])")


def _token(text: str, start: int, prefix: str, loosely: bool) -> tuple[int, int] | None:
    """The longest token that begins with this prefix."""
    from_ = start + len(prefix)
    best: tuple[int, int] | None = None
    for shape in _SHAPES[prefix]:
        if loosely and not shape.loose:
            continue
        end = shape.end(text, from_)
        if end is not None and (best is None or end > best[1]):
            best = (from_ if shape.keeps_prefix else start, end)
    return best


def find(text: str) -> Iterator[tuple[int, int]]:
    """Where tokens are."""
    if len(text) < _SHORTEST:
        return
    covered = 0
    for found in _PREFIX.finditer(text):
        start = found.start()
        if start < covered:
            continue
        for length in _LENGTHS:
            prefix = text[start : start + length]
            if prefix in _SHAPES and (token := _token(text, start, prefix, loosely=False)):
                covered = token[1]
                if not is_sample(text[start + length : token[1]]):
                    yield token
                break
    for prefix in _LOOSE if _LONG_RUN.search(text) else ():
        start, covered = text.find(prefix), 0
        while start >= 0:
            word = text[max(0, start - _BLOB) : start]
            is_inside = word and word[-1].isascii() and word[-1].isalnum()
            is_blob = len(word) == _BLOB and re.fullmatch(r"[A-Za-z0-9_+/]+", word)
            if start >= covered and is_inside and not is_blob and (token := _token(text, start, prefix, loosely=True)):
                covered = token[1]
                if not is_sample(text[start + len(prefix) : token[1]]):
                    yield token
            start = text.find(prefix, max(start + 1, covered))
    if "eyJ" in text:
        yield from _web_tokens(text)
    if ":AA" in text:
        yield from (found.span() for found in _TELEGRAM.finditer(text))
    if "-----BEGIN " in text:
        yield from (found.span() for found in _PRIVATE_KEY.finditer(text))


def _web_tokens(text: str) -> Iterator[tuple[int, int]]:
    """JSON web tokens, signed or encrypted: two parts or more, the first of which says that it is an object."""
    for run in _RUN.finditer(text):
        parts = run[0].rstrip(".").split(".")
        at = run.start()
        for index, part in enumerate(parts[:-1]):
            header = _WEB_HEADER.search(part)
            is_encrypted = not parts[index + 1] and len(parts) >= index + 5
            if header is not None and (len(parts[index + 1]) >= 8 or is_encrypted):
                yield at + header.start(), run.start() + len(run[0].rstrip("."))
                break
            at += len(part) + 1
