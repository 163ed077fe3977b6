"""Whether a text looks like a secret, or plainly is none: as ``model/src/redact/looks.rs`` has it, over the same words."""

from __future__ import annotations

import re

from .semconv import TABLES

_TABLE = TABLES["redaction"]
_WORDS = frozenset(_TABLE["words"])
_SECRETS = frozenset(_TABLE["labels"]["secrets"])
_OF = frozenset(_TABLE["labels"]["of"])
_FILES = tuple(_TABLE["files"])
_SENTENCE = frozenset(_TABLE["sentence"])
_LOCATIONS = tuple(_TABLE["locations"])
_ALGORITHMS = frozenset(_TABLE["algorithms"])
# The longest label, in bytes, and the most words of one.
_LABEL = 80
_MOST_WORDS = 6
_LOOK = 200


def is_drawn(text: str) -> bool:
    """Digits among letters, or capitals among small ones, and nothing that sentences, paths and versions are made of."""
    text = text[:_LOOK]
    if len(text) < 6 or not text.isascii() or re.search(r"\s", text):
        return False
    digits = sum(character.isdigit() for character in text)
    letters = sum(character.isalpha() for character in text)
    dots = text.count(".")
    if text.startswith(("/", "./", "http")) or text.endswith("("):
        return False
    if (text[0].isdigit() or text[0] in "^~v<>=") and dots >= 1 and digits + dots + 4 > len(text):
        return False
    return (
        (digits > 0 and letters > 0)
        or (digits >= 6 and digits == len(text))
        or (len(text) >= 16 and _humps(text) >= 2)
    )


def is_lot(text: str) -> bool:
    """Drawn by lot, and not like words with numbers between them."""
    text = text[:_LOOK]
    if re.search(r"\s", text) or text.startswith(_LOCATIONS):
        return False
    return any(_is_lot_part(part) for part in re.split(r"[^A-Za-z0-9]", text))


def _is_lot_part(part: str) -> bool:
    digits = sum(character.isdigit() for character in part)
    changes = sum(one.isdigit() != other.isdigit() for one, other in zip(part, part[1:], strict=False))
    mixed = 0 < digits < len(part)
    numbered = changes == 1 and digits <= 4 and part[-1].isdigit() and len(part) < 16
    return (
        (mixed and len(part) >= 8 and not numbered)
        or (mixed and len(part) >= 6 and changes >= 2)
        or (len(part) >= 16 and _humps(part) >= 3)
    )


def _humps(text: str) -> int:
    return len(re.findall(r"[a-z](?=[A-Z])", text))


def is_random(text: str) -> bool:
    """Nothing but drawn by lot, and neither a hash nor a UUID."""
    return (
        16 <= len(text) <= 150
        and re.fullmatch(r"[A-Za-z0-9_.=+/-]+", text) is not None
        and re.search(r"[0-9]", text) is not None
        and re.search(r"[a-z]", text) is not None
        and (len(text) >= 24 or re.search(r"[A-Z]", text) is not None)
        and re.fullmatch(r"[0-9A-Fa-f-]+", text) is None
        and is_lot(text)
    )


def is_words(text: str) -> bool:
    """Words, with numbers of their own at most."""
    parts = re.split(r"[_\-./ ]", text)
    return len(parts) > 1 and all(part.isascii() and (part.isalpha() or part.isdigit() or not part) for part in parts)


def is_harmless(text: str) -> bool:
    """A word of a schema, a sentence about a secret, a version, a place where one is to be put."""
    text = text[:_LOOK].strip()
    return (
        text.rstrip(",;).!?").lower() in _WORDS
        or text.startswith(_LOCATIONS)
        or (text.endswith(_FILES) and re.fullmatch(r"[A-Za-z0-9/._\-:\\~${}]+", text) is not None)
        or _is_algorithm(text)
        or is_placeholder(text)
        or _is_version(text)
        or _is_sentence(text)
    )


def _is_algorithm(text: str) -> bool:
    parts = [part.rstrip("0123456789").lower() for part in re.split(r"[-_.]", text)]
    short = all(len(part) <= 8 for part in re.split(r"[-_.]", text))
    return len(text) <= 24 and parts[0] in _ALGORITHMS and short and all(not part or part.isalpha() for part in parts)


def is_placeholder(text: str) -> bool:
    """``<password>``, ``${PASSWORD}``, ``$PASSWORD``, ``{{ password }}``, ``%s``, ``***``, ``…``, ``your-api-key``,
    ``[Filtered]``, ``YOUR_API_KEY``, ``0000000000000001``, ``New password``.
    """
    return (
        (text.startswith("<") and text.endswith(">"))
        or text.startswith(("{{", "${", "$(", "%(", "..."))
        or text in ("%s", "%q", "%v")
        or re.fullmatch(r"\$[A-Z_][A-Z0-9_]*", text) is not None
        or (len(text) > 2 and re.fullmatch(r"[*.…xX•_#-]+", text) is not None)
        or text[:5].lower() in ("your-", "your_", "your ", "<your")
        or (len(text.encode("utf-8", "replace")) <= _LABEL and _is_put(text))
    )


def _is_put(text: str) -> bool:
    lower = text.lower()
    return (
        re.fullmatch(r"\[[^\W\d](?:[^\W\d]|[ .-])*\]|\{[^\W\d](?:[^\W\d]|[ .-])*\}", text) is not None
        or re.fullmatch(r"[A-Z]+(?:[_. ][A-Z]+)+", text.rstrip(".")) is not None
        or (
            re.fullmatch(r"(?:[a-z _\-.<>']|[^\x00-\x7f])+", lower) is not None
            and (re.match(r"(?:insert|replace|enter)[ _-]|your", lower) is not None or lower.endswith("here"))
        )
        or is_sample(text)
        or _is_label(text)
    )


def is_sample(text: str) -> bool:
    """What nobody drew by lot, and what the manuals of AWS give."""
    return _is_monotone(text[:_LABEL]) or text.endswith(("EXAMPLE", "EXAMPLEKEY"))


def _is_monotone(text: str) -> bool:
    """Made of two characters at most, so that nobody drew it by lot."""
    drawn = re.sub(r"[-_. ]", "", text)
    return len(set(drawn)) <= 2 and (len(drawn) >= 16 or (len(drawn) >= 8 and set(drawn) <= {"x", "X"}))


def _is_label(text: str) -> bool:
    """The label of a field, or a value that only says what belongs there."""
    text = text.rstrip("!?.:…* ")
    words = re.split(r"[ \-_/.]", text.lower())
    if len(words) > _MOST_WORDS or not all(word.isalpha() for word in words):
        return False
    if len(words) == 1:
        own = next((own for own in ("my", "your", "some") if words[0].startswith(own)), "")
        return words[0][len(own) :] in _SECRETS
    begins = " " in text and text[:1].isupper()
    speaks = words[0] in _SECRETS or words[-1] in _SECRETS
    return speaks and (begins or all(word in _OF or word in _SECRETS for word in words))


def _is_version(text: str) -> bool:
    if text == "*" or text.startswith(("npm:", "workspace:")):
        return True
    rest = text.lstrip("^~>=<v ")
    number = re.split(r"[.\- +]", rest)[0]
    ranged = len(rest) < len(text) or rest.count(".") >= 2
    return ranged and 0 < len(number) <= 4 and number.isdigit() and "." in rest


def _is_sentence(text: str) -> bool:
    words = text.split()
    return (
        len(words) >= 3
        and any(word.lower() in _SENTENCE for word in words)
        and all(sum(character.isdigit() for character in word) < 3 for word in words)
    )
