"""Names of attributes, from the table that all SDKs of mcptap share."""

import json
from importlib import resources
from typing import Any

TABLES: dict[str, Any] = json.loads(resources.files(__package__).joinpath("tables.json").read_text("utf-8"))

_names: dict[str, str] = TABLES["attributes"]


def __getattr__(name: str) -> str:
    try:
        return _names[name]
    except KeyError:
        raise AttributeError(name) from None
