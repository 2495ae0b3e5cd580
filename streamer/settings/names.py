"""Names of settings: dotted in files and messages, or as environment variables."""

from __future__ import annotations

PREFIX = "STREAMER_"

SettingPath = tuple[str, ...]


def variable(path: SettingPath) -> str:
    """`STREAMER_BATCHING__MAX_WAIT_MS`."""
    return PREFIX + "__".join(part.upper() for part in path)


def described(path: SettingPath) -> str:
    """`batching.max_wait_ms (STREAMER_BATCHING__MAX_WAIT_MS)`; `settings` if the path is empty."""
    if not path:
        return "settings"
    # There is one variable for all rules, and none for their fields.
    in_environment = path[:2] if path[:2] == ("moderation", "rules") else path
    return f"{'.'.join(path)} ({variable(in_environment)})"
