"""The options of a study as a `study.toml`, from which the same search starts again."""

import json
from typing import Any

from msgspec.structs import asdict

from concrete_study.results.records import SearchOptions


def study_toml(options: SearchOptions) -> str:
    """Every option as `search.config.read_config` reads it; those that are None are left out.

    The built-in sample is `data = []`: without `data`, a search takes `datasets/` if it exists.
    """
    values = asdict(options)
    space = "".join(f"{name} = {values}\n" for name, values in values.pop("space").items())
    lines = [f"{name} = {_toml(value)}" for name, value in values.items() if value is not None]
    return "\n".join(lines) + f"\n\n[space]\n{space}"


def _toml(value: Any) -> str:
    """Strings, numbers and lists as in JSON, which TOML shares but for DEL; tables inline."""
    if isinstance(value, dict):
        pairs = [f"{_toml(key)} = {_toml(item)}" for key, item in value.items()]
        return "{ " + ", ".join(pairs) + " }" if pairs else "{}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
