"""Secrets, cut out of texts before they leave the process.

The rules are a part of those of the collector, over the same table: tokens by their shape, values under the names of
secrets, credentials behind their scheme, passwords in URLs, private keys, and what the operator adds. The collector
goes over everything again when it comes.
"""

from __future__ import annotations

import base64
import copy
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any
from urllib.parse import quote, quote_plus

from . import names, tokens
from .looks import is_drawn, is_lot, is_placeholder
from .semconv import TABLES

logger = logging.getLogger("mcptap")
_has_failed = False

_TABLE = TABLES["redaction"]
REDACTED: str = _TABLE["marker"]
"""The text that replaces a secret."""
_SHORTEST: int = _TABLE["shortestValue"]
_CHALLENGE = frozenset(_TABLE["challenge"])
_SCHEMES = frozenset(_TABLE["schemes"])
# How many strings of JSON inside strings of JSON are read.
_DEEPEST = 6
# How deep JSON may be nested to be walked; what is deeper is cut as text.
_DEEPEST_TREE = 200

_CREDENTIAL = re.compile(r"(?i)(?<![A-Za-z0-9_])(bearer|basic)(?:[\s+]+|%20)(?=([A-Za-z0-9._~+/=%-]{8,}))\2(?!…)")
_URL = re.compile(r"://([^\s/?#\"'\\<>`:@]*)(?::([^\s/?#\"'\\<>`]*))?@")
_SIGNATURE = re.compile(r"(?i)(?<![A-Za-z0-9_])(?:sig|signature)=([A-Za-z0-9%+/=_-]{16,})")
_CURL = re.compile(r"\bcurl\b[^\n]{0,120}? (?:-u|--user|--proxy-user)[ =]?[\"']?([^\s:\"']+):([^\s\"'\\]{3,})")
_SIGN = r"(\\?[\"']?[ \t]{0,3}(?:=>|:=|[=:])[ \t]{0,3})"
# The last two are of a text that was cut within a value.
_VALUE = (
    r"(?:\\?\"((?:[^\"\\]|\\.)*)\\?\"|\\?'([^'\\]*)\\?'|([^\s\"'\\,;&<>{}()\[\]]+)"
    r"|\\?\"((?:[^\"\\]|\\.)*)\\?\Z|\\?'([^'\\]*)\\?\Z)"
)
_PAIR = re.compile(rf"(?<![\w\-])(--?)?([^\W\d][\w.\-]{{1,79}}){_SIGN}{_VALUE}")
_SPACED: dict[str, names.Kind] = {each["name"]: each["kind"] for each in _TABLE["spaced"]}
_SPACED_PAIR = re.compile(rf"(?i)(?<![\w\-])()({'|'.join(_SPACED)}){_SIGN}{_VALUE}")
_BEHIND_SCHEME = re.compile(r"[ \t]+([^\s\"'\\,;<>{}\[\]]+)")
_FLAG = re.compile(
    r"(?<![A-Za-z0-9_\-])--?([A-Za-z][A-Za-z0-9\-]{1,60}) +"
    r"(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'-][^\s\"']*)|\"([^\"]*)\Z|'([^']*)\Z)"
)


_HALVES = re.compile("[\ud800-\udfff]")


def whole(text: str) -> str:
    """The text without halves of characters, which no exporter can write: anybody may send ``"\\ud800"``."""
    return _HALVES.sub("\ufffd", text)


class BadRule(ValueError):
    """A rule of the operator's that cannot be kept; it says what would be right."""


class Redactor:
    """Cuts secrets out, by the built-in rules and these."""

    def __init__(
        self,
        keys: Sequence[str] = (),
        patterns: Sequence[str] = (),
        values: Mapping[str, str] | None = None,
    ) -> None:
        """``keys`` are names whose values are cut, whatever they are; ``patterns`` regular expressions of what is cut;
        ``values`` secret values of at least 6 bytes by the name they are known by, which are cut in whatever form they leak."""
        for key in keys:
            if not any(character.isalnum() for character in key):
                raise BadRule(f"the redaction key {key!r} is no name; give the name of a key, such as ssn")
        self._then: Callable[[str], str | None] | None = None
        self._keys = frozenset(names.key(key) for key in keys)
        self._patterns = [_compiled(pattern) for pattern in patterns]
        forms: set[str] = set()
        for name, value in (values or {}).items():
            if len(value.encode()) < _SHORTEST:
                raise BadRule(
                    f"the value of {name} has {len(value.encode())} bytes, and one so short would be cut out of everything; "
                    f"only values of at least {_SHORTEST} bytes can be redacted"
                )
            if value in REDACTED:
                raise BadRule(f"the value of {name} is part of {REDACTED!r}, which stands in the place of secrets")
            forms.update(_forms(value))
        longest_first = sorted(forms, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def followed_by(self, then: Callable[[str], str | None] | None) -> Redactor:
        """The same rules, and then this function over each text; what it fails on is not kept."""
        if then is None:
            return self
        followed = copy.copy(self)
        followed._then = then
        return followed

    def _follow(self, text: str) -> str:
        if self._then is None:
            return text
        try:
            new = self._then(text)
            return text if new is None else whole(new)
        except Exception:
            global _has_failed
            if not _has_failed:
                _has_failed = True
                logger.exception("redact_with failed: the text is not recorded, and neither is one on which it fails again")
            return REDACTED

    def _follow_all(self, value: Any) -> Any:
        if self._then is None:
            return value
        if isinstance(value, str):
            return self._follow(value)
        if isinstance(value, Mapping):
            return {name: self._follow_all(member) for name, member in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self._follow_all(item) for item in value)
        return value

    def text(self, text: str) -> str:
        """The text without the secrets in it."""
        return self._follow(self._text(text, 0))

    def value(self, value: Any, name: str | None = None) -> Any:
        """A value of JSON without the secrets in it; the same object where there are none."""
        return self._follow_all(self._value(value, self._kind(name) if name else None, 0, 0))

    def json(self, text: str) -> str:
        """A text of JSON without the secrets in it: JSON afterwards, too. What is no JSON, such as the beginning of one, is
        redacted as text."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return self.text(text)
        redacted = self._value(value, None, 0, 0)
        if redacted is value:
            return self._follow(whole(text))
        return self._follow(whole(json.dumps(redacted, ensure_ascii=False, separators=(",", ":"))))

    def _kind(self, name: str) -> names.Kind | None:
        return names.kind_of(name, self._keys)

    def _value(self, value: Any, kind: names.Kind | None, depth: int, inside: int) -> Any:
        if depth > _DEEPEST_TREE:
            return REDACTED
        if isinstance(value, str):
            if kind is not None and names.is_secret(kind, value, REDACTED):
                return REDACTED
            return self._text(value, inside)
        if isinstance(value, Mapping):
            return self._mapping(value, kind, depth, inside)
        if isinstance(value, (list, tuple)):
            redacted = self._items(value, kind, depth, inside)
            return value if all(one is other for one, other in zip(redacted, value, strict=True)) else redacted
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if kind is not None and names.is_secret_number(kind, value):
                return REDACTED
        elif kind == "key" and value is not None:
            return REDACTED
        return value

    def _mapping(self, value: Mapping[Any, Any], kind: names.Kind | None, depth: int, inside: int) -> Any:
        changed = False
        redacted = {}
        # `{"name": "API_KEY", "value": "…"}`: an environment, headers, a form.
        told = value.get("name", value.get("key"))
        told_kind = self._kind(told) if isinstance(told, str) and "value" in value else None
        for name, member in value.items():
            text = str(name)
            own = self._kind(text) or (told_kind if text == "value" else None)
            if own is None and kind is not None and kind != "token":
                own = kind
            kept_name = self._text(text, inside) if isinstance(name, str) else name
            kept = self._value(member, own, depth + 1, inside)
            changed = changed or kept is not member or kept_name != name
            redacted[kept_name] = kept
        return redacted if changed else value

    def _items(self, value: Sequence[Any], kind: names.Kind | None, depth: int, inside: int) -> list[Any]:
        redacted: list[Any] = []
        flag: names.Kind | None = None
        for item in value:
            redacted.append(self._value(item, flag or kind, depth + 1, inside))
            is_flag = isinstance(item, str) and item.startswith("-") and "=" not in item
            flag = self._kind(item.lstrip("-")) if is_flag else None
            # A flag of a command is nobody's word.
            flag = "secret" if flag == "token" else flag
        return redacted

    def _text(self, text: str, inside: int) -> str:
        text = whole(text)
        if len(text) < 4:
            return text
        if inside < _DEEPEST and text[0] in "{[\"" and text[-1] in "}]\"":
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                pass
            else:
                redacted = self._value(value, None, 0, inside + 1)
                if redacted is value:
                    return text
                return json.dumps(redacted, ensure_ascii=False, separators=(",", ":"))
        cuts = sorted(self._cuts(text))
        if not cuts:
            return text
        pieces: list[str] = []
        at = 0
        for start, end in cuts:
            if start >= at:
                pieces += (text[at:start], REDACTED)
            at = max(at, end)
        return "".join((*pieces, text[at:]))

    def _cuts(self, text: str) -> Iterator[tuple[int, int]]:
        yield from tokens.find(text)
        yield from _credentials(text)
        yield from self._pairs(text)
        for pattern in self._patterns:
            yield from (found.span() for found in pattern.finditer(text) if found[0] and found[0] != REDACTED)
        if self._values is not None:
            yield from (found.span() for found in self._values.finditer(text))

    def _pairs(self, text: str) -> Iterator[tuple[int, int]]:
        pairs = ((found, self._kind(found[2])) for found in _PAIR.finditer(text))
        spaced = ((found, _SPACED[found[2].lower()]) for found in _SPACED_PAIR.finditer(text))
        for found, kind in chain(pairs, spaced):
            if kind is not None:
                yield from _pair(found, kind, text)
        for found in _FLAG.finditer(text):
            kind = self._kind(found[1])
            at = found.lastindex or 4
            is_written = kind == "token" and at == 4 and not (is_drawn(found[at]) and re.search(r"[0-9]", found[at]))
            kind = "secret" if kind == "token" else kind
            if kind == "key" or (kind == "secret" and not is_written and names.is_secret(kind, found[at], REDACTED)):
                if found[at] != REDACTED:
                    yield found.span(at)


def _pair(found: re.Match[str], kind: names.Kind, text: str) -> Iterator[tuple[int, int]]:
    at = found.lastindex or 6
    value = found[at]
    if kind == "token" and found[1]:
        kind = "secret"
    if kind == "authorization" and at == 6 and value.lower() in _SCHEMES:
        behind = _BEHIND_SCHEME.match(text, found.end())
        if behind and not is_placeholder(behind[1]) and not names.is_cut(behind[1]) and behind[1] != REDACTED:
            yield found.start(6), behind.end()
        return
    if at == 6 and kind not in ("key", "cookie") and not _is_written_secret(found, kind, text):
        return
    if names.is_secret(kind, value, REDACTED):
        yield found.span(at)


def _is_written_secret(found: re.Match[str], kind: names.Kind, text: str) -> bool:
    """Whether a value without quotes can be one: sentences and code are written like that, too."""
    value = found[6]
    if kind == "authorization":
        return is_drawn(value)
    if re.fullmatch(r"[A-Za-z_$&@!][\w.\->:?()\[\]`!]*", value) and (
        ("." in value and not re.search(r"[0-9]", value)) or text[found.end() : found.end() + 1] in ("(", "[")
    ):
        return False
    if re.fullmatch(r"null|true|false|none|None|nil|undefined|[0-9]{1,3}", value):
        return False
    if kind == "secret" and found[3].endswith((" ", "\t")):
        begins = found.start() == 0 or text[found.start() - 1] in "\r\n"
        ends = found.end() >= len(text) or text[found.end()] in "\r\n"
        return (begins and ends) or (is_drawn(value) and re.search(r"[0-9]", value) is not None)
    return True


def _credentials(text: str) -> Iterator[tuple[int, int]]:
    for found in _CREDENTIAL.finditer(text):
        value = found[2]
        if value.split("=", 1)[0] in _CHALLENGE and "=" in value.rstrip("="):
            continue
        is_mixed = re.search(r"[0-9]", value) is not None or re.search(r"[a-z][A-Z]", value) is not None
        if (is_mixed or value.endswith("=")) and not names.is_cut(value):
            yield found.span(2)
    for found in _URL.finditer(text):
        if found[2]:
            if not names.is_cut(found[2]) and not is_placeholder(found[2]) and found[2] != REDACTED:
                yield found.span(2)
        elif found[2] is None and len(found[1]) >= 16 and is_drawn(found[1]):
            # A token in the place of a user.
            yield found.span(1)
    for found in _SIGNATURE.finditer(text):
        if is_lot(found[1]):
            yield found.span(1)
    for found in _CURL.finditer(text):
        if not names.is_cut(found[2]) and not is_placeholder(found[2]):
            yield found.span(2)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise BadRule(
            f"the redaction pattern {pattern!r} cannot be read: {error}; give a regular expression such as ACME-[0-9]{{6}}"
        ) from None
    if compiled.match(""):
        raise BadRule(
            f"the redaction pattern {pattern!r} also matches an empty text, so it would cut everywhere; "
            "make it need at least one character"
        )
    return compiled


def _forms(value: str) -> Iterator[str]:
    """The forms in which a value may appear: as it is, escaped as in JSON, percent-encoded, and in base64."""
    yield value
    for ascii_only in (False, True):
        escaped = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        yield escaped
        yield json.dumps(escaped, ensure_ascii=ascii_only)[1:-1]
        yield escaped.replace("/", "\\/")
    for encoded in (quote(value, safe=""), quote(value), quote_plus(value), quote(value, safe="-_.~!*'()")):
        yield encoded
        yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), encoded)
    data = value.encode()
    for shift in range(3):
        shifted = bytes(shift) + data
        first, whole = -(-shift * 8 // 6), len(shifted) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(shifted).decode()[first:whole]
