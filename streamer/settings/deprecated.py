"""Settings that have been renamed: the old name still works, with a warning."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from streamer.settings.names import SettingPath, described, variable

log = logging.getLogger(__name__)

RENAMED: dict[SettingPath, SettingPath] = {
    ("drain_timeout_ms",): ("pipeline", "drain_timeout_ms"),
    ("kafka", "commit_interval_ms"): ("pipeline", "commit_interval_ms"),
    ("kafka", "commit_max_records"): ("pipeline", "commit_max_records"),
    ("kafka", "revoke_timeout_ms"): ("pipeline", "revoke_timeout_ms"),
}
_given: dict[SettingPath, SettingPath] = {}  # Old names that were given, with no warning yet.
_warned: set[SettingPath] = set()
_MISSING = object()
# Variables of settings that used to be outside of any section: pydantic-settings no longer reads them.
TOP_LEVEL_VARIABLES = {variable(path): path[0] for path in RENAMED if len(path) == 1}


def renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The nested values of one source, with values under an old name moved to the new one.

    Each old name is kept for `warn_of_old_names`. Raises ValueError if both names are given with different values. The
    usual order of the sources applies, whichever name a source uses.
    """
    result = dict(values)
    for old, new in RENAMED.items():
        value, current = _at(result, old), _at(result, new)
        if value is _MISSING:
            continue
        _given[old] = new
        if current is not _MISSING and str(current) != str(value):
            raise ValueError(f"{described(new)}: also given under its old name {described(old)}, with another value")
        _remove(result, old)
        _put(result, new, value)
    return result


def warn_of_old_names() -> None:
    """Log a warning for each old name that `load` has met, once per process.

    Call it once logging is set up. That needs the settings, so `load` itself cannot log in the format that they want.
    """
    for old, new in _given.items():
        if old not in _warned:
            log.warning("the setting %s is now called %s: please rename it", described(old), described(new))
            _warned.add(old)
    _given.clear()


def _at(values: Mapping[str, Any], path: SettingPath) -> Any:
    found: Any = values
    for part in path:
        if not isinstance(found, Mapping):  # A section that is wrong or already validated.
            return _MISSING
        found = found.get(part, _MISSING)
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
