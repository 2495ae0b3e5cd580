"""How a setting is called: dotted in files and messages, as a variable in the environment."""

from __future__ import annotations

PREFIX = "STREAMER_"

SettingPath = tuple[str, ...]


def variable(path: SettingPath) -> str:
    """`STREAMER_BATCHING__MAX_WAIT_MS`."""
    return PREFIX + "__".join(part.upper() for part in path)


def described(path: SettingPath) -> str:
    """`batching.max_wait_ms (STREAMER_BATCHING__MAX_WAIT_MS)`; `settings` for the settings as a whole."""
    if not path:
        return "settings"
    # The rules have a variable as a whole, and none for what is in them.
    in_environment = path[:2] if path[:2] == ("moderation", "rules") else path
    return f"{'.'.join(path)} ({variable(in_environment)})"
