"""Settings that have been renamed: the old name still works, with a warning."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

from streamer.settings.names import SettingPath, described, variable

log = logging.getLogger(__name__)

RENAMED: dict[SettingPath, SettingPath] = {
    ("drain_timeout_ms",): ("pipeline", "drain_timeout_ms"),
    ("kafka", "commit_interval_ms"): ("pipeline", "commit_interval_ms"),
    ("kafka", "commit_max_records"): ("pipeline", "commit_max_records"),
    ("kafka", "revoke_timeout_ms"): ("pipeline", "revoke_timeout_ms"),
}
# Variables of settings that used to be outside of any section: pydantic-settings no longer reads them.
TOP_LEVEL_VARIABLES = {variable(path): path[0] for path in RENAMED if len(path) == 1}


def renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The nested values of one source, with values under an old name moved to the new one.

    Logs a warning for each old name. Raises ValueError if both names are given with different values. The usual
    order of the sources applies, whichever name a source uses.
    """
    result = dict(values)
    for old, new in RENAMED.items():
        value, current = _at(result, old), _at(result, new)
        if value is None:
            continue
        _warn(old, new)
        if current is not None and str(current) != str(value):
            raise ValueError(f"{described(new)}: also given under its old name {described(old)}, with another value")
        _remove(result, old)
        _put(result, new, value)
    return result


@cache  # Once per process: a command may load the settings again with its overrides.
def _warn(old: SettingPath, new: SettingPath) -> None:
    log.warning("the setting %s is now called %s: please rename it", described(old), described(new))


def _at(values: Mapping[str, Any], path: SettingPath) -> Any:
    found: Any = values
    for part in path:
        if not isinstance(found, Mapping):  # A section that is wrong or already validated.
            return None
        found = found.get(part)
    return found


def _remove(values: dict[str, Any], path: SettingPath) -> None:
    *parents, last = path
    for part in parents:
        values[part] = values = dict(values[part])
    del values[last]


def _put(values: dict[str, Any], path: SettingPath, value: Any) -> None:
    *parents, last = path
    for part in parents:
        section = values.get(part, {})
        if not isinstance(section, Mapping):
            return  # Validation refuses it.
        values[part] = values = dict(section)
    values[last] = value
