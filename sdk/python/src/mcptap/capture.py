"""What is recorded of requests: everything, all but bodies, or nothing; which tools' bodies; and how much of them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from .redaction import BadRule, Redactor
from .sampling import Sampling

if TYPE_CHECKING:
    from .observer import Incoming

DEFAULT_BODY_CAP = 1 << 20
"""How many bytes of a body are kept when nothing is said: 1 MiB, the collector's own default."""

_UNITS = {"": 1, "b": 1, "kib": 1 << 10, "kb": 1 << 10, "k": 1 << 10, "mib": 1 << 20, "mb": 1 << 20, "m": 1 << 20,
          "gib": 1 << 30, "gb": 1 << 30, "g": 1 << 30}


class CaptureError(ValueError):
    """A setting of capture that cannot be kept; it says what would be right."""


@dataclass(frozen=True)
class Capture:
    """What is recorded. The default is everything, with bodies of up to 1 MiB each and the built-in redaction."""

    mode: Literal["full", "metadata", "off"] = "full"
    allow: tuple[str, ...] = ()
    """If any, only the bodies of these tools are kept: exact names, or beginnings with ``*`` at the end."""
    deny: tuple[str, ...] = ()
    """Bodies of these tools are not kept, even if ``allow`` names them."""
    body_cap: int = DEFAULT_BODY_CAP
    """How many bytes of each body are kept; its whole size is recorded in any case. 0 keeps none."""
    redactor: Redactor = field(default_factory=Redactor)
    redact_with: Callable[[str], str | None] | None = None
    """Is given each text that is recorded, after the secrets known here were cut out of it: values of attributes, bodies as JSON
    text, errors, log lines, names of spans; and gives what is recorded in its place, or ``None`` to leave it. Another thread than
    the handler's may call it. Where it fails, the text is ``[redacted]``."""
    tag_with: Callable[[Incoming], Mapping[str, Any] | None] | None = None
    """Is given each request before it is handled, and gives attributes of its call."""
    exclude_methods: tuple[str, ...] = ()
    """Requests of these methods are not recorded, neither in nor out: exact names, or beginnings with ``*`` at the end."""
    sample_methods: Mapping[str, int] = field(default_factory=dict)
    """Of these methods every failure is recorded, and one of so many requests that succeed. A success says for how many requests
    it stands, as the attribute ``mcptap.weight``. A failure that was not chosen when it began has no request body and no lines."""

    def __post_init__(self) -> None:
        if self.mode not in ("full", "metadata", "off"):
            raise CaptureError(f"the mode of capture is {self.mode!r}; give full, metadata or off")
        for entry in (*self.allow, *self.deny):
            if "*" in entry[:-1]:
                raise CaptureError(
                    f"{entry!r} is no name of a tool; give names, or beginnings of names with * at the end, such as get_*"
                )
        for method, every in self.sample_methods.items():
            if not isinstance(every, int) or every < 1:
                raise CaptureError(f"{method} is sampled by {every!r}; give a number: 10 records one of ten")
        object.__setattr__(self, "redactor", self.redactor.followed_by(self.redact_with))
        samplings = {method: Sampling(every) for method, every in self.sample_methods.items() if every > 1}
        object.__setattr__(self, "_samplings", samplings)
        for entry in self.exclude_methods:
            if not entry or "*" in entry[:-1]:
                raise CaptureError(
                    f"{entry!r} is no name of a method; give names, or beginnings of names with * at the end, such as ping or "
                    "resources/*"
                )
        if self.body_cap < 0:
            raise CaptureError(f"the cap of bodies is {self.body_cap}; give a number of bytes")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Capture:
        """As ``MCPTAP_CAPTURE``, ``MCPTAP_CAPTURE_TOOLS``, ``MCPTAP_CAPTURE_DENY_TOOLS``, ``MCPTAP_BODY_CAP``,
        ``MCPTAP_REDACT_KEYS``, ``MCPTAP_REDACT_PATTERNS`` and ``MCPTAP_REDACT_ENV`` say. A variable that is empty counts as not
        set. Fails on the first that cannot be kept."""
        environ = os.environ if environ is None else environ

        def listed(name: str, separator: str = ",") -> tuple[str, ...]:
            entries = (entry.strip() for entry in environ.get(name, "").split(separator))
            return tuple(entry for entry in entries if entry)

        mode = environ.get("MCPTAP_CAPTURE", "").strip().lower() or "full"
        if mode not in ("full", "metadata", "off"):
            raise CaptureError(f"MCPTAP_CAPTURE is {environ['MCPTAP_CAPTURE']!r}; give full, metadata or off")
        tools = {}
        for name in ("MCPTAP_CAPTURE_TOOLS", "MCPTAP_CAPTURE_DENY_TOOLS"):
            tools[name] = listed(name)
            for entry in tools[name]:
                # A star elsewhere would be taken for part of a name, and bodies be kept that were not to be.
                if "*" in entry[:-1]:
                    raise CaptureError(
                        f"{name} holds {entry!r}; give names of tools, or beginnings of names with * at the end, such as get_*"
                    )
        values = {name: environ[name] for name in listed("MCPTAP_REDACT_ENV") if environ.get(name)}
        try:
            redactor = Redactor(
                keys=listed("MCPTAP_REDACT_KEYS"), patterns=listed("MCPTAP_REDACT_PATTERNS", "\n"), values=values
            )
        except BadRule as error:
            raise CaptureError(
                f"in MCPTAP_REDACT_KEYS, MCPTAP_REDACT_PATTERNS or MCPTAP_REDACT_ENV: {error}"
            ) from None
        cap = environ.get("MCPTAP_BODY_CAP", "").strip()
        return cls(
            mode=mode,  # type: ignore[arg-type]
            allow=tools["MCPTAP_CAPTURE_TOOLS"],
            deny=tools["MCPTAP_CAPTURE_DENY_TOOLS"],
            body_cap=bytes_of("MCPTAP_BODY_CAP", cap) if cap else DEFAULT_BODY_CAP,
            redactor=redactor,
        )

    @property
    def records(self) -> bool:
        """Whether anything is recorded at all."""
        return self.mode != "off"

    def excludes(self, method: str) -> bool:
        """Whether requests of this method are not recorded."""
        return _named(self.exclude_methods, method)

    def sampling(self, method: str) -> Sampling | None:
        """How this method is sampled, if it is."""
        return self._samplings.get(method)  # type: ignore[attr-defined, no-any-return]

    def bodies_of(self, tool: str | None) -> bool:
        """Whether the bodies of a request are kept: one about this tool, or about none."""
        if self.mode != "full":
            return False
        if tool is None:
            return True
        return not _named(self.deny, tool) and (not self.allow or _named(self.allow, tool))


def _named(entries: tuple[str, ...], tool: str) -> bool:
    return any(tool.startswith(entry[:-1]) if entry.endswith("*") else tool == entry for entry in entries)


def bytes_of(name: str, text: str, expected: str = "a number of bytes, or one with a unit such as 1MiB") -> int:
    """A size as variables have it; fails by telling what would be right."""
    found = re.fullmatch(r"(\d+)\s*([A-Za-z]*)", text)
    unit = _UNITS.get(found[2].lower()) if found else None
    if found is None or unit is None:
        raise CaptureError(f"{name} is {text!r}; give {expected}")
    return int(found[1]) * unit
