"""Bundled profiles, and profiles in files."""

from __future__ import annotations

from pathlib import Path

import orjson
from pydantic import ValidationError

from streamer.planning.profile import Device, Profile
from streamer.printable import reason_of, shown_path
from streamer.settings.words import in_words, location

STORED: dict[Device, Path] = {
    device: path for device in ("cpu", "cuda") if (path := Path(__file__).with_name(f"{device}.json")).is_file()
}


class ProfileError(Exception):
    """There is no such profile, or it is invalid. The message names the field and gives the reason."""


def stored(device: Device) -> Profile:
    """The bundled profile for a device. Raises ProfileError if there is none."""
    if device not in STORED:
        raise ProfileError(
            f"there is no bundled profile for {device}: on such a host run "
            f"`streamer plan --measure --device {device} --save FILE`, elsewhere use --profile FILE"
        )
    return read(STORED[device])


def read(path: Path) -> Profile:
    """A profile from a file. Raises ProfileError."""
    try:
        return parse(path.read_bytes(), shown_path(path))
    except OSError as error:
        raise ProfileError(f"{shown_path(path)}: {reason_of(error)}") from None


def parse(content: bytes, name: str) -> Profile:
    """A profile from JSON. Raises ProfileError, whose message has a line, with `name`, for each wrong field."""
    try:
        fields = orjson.loads(content)
        if not isinstance(fields, dict):
            raise ProfileError(f"{name}: not a JSON object")
        return Profile.model_validate_json(content)
    except orjson.JSONDecodeError as error:
        raise ProfileError(f"{name}: not JSON: {error}") from None
    except ValidationError as error:
        wrong = (f"{name}: {'.'.join(location(item)) or 'profile'}: {in_words(item)}" for item in error.errors())
        raise ProfileError("\n".join(wrong)) from None


def write(profile: Profile, path: Path) -> None:
    """Write a profile as JSON, for `read`. Raises ProfileError if that fails."""
    try:
        path.write_text(profile.model_dump_json(indent=2) + "\n", "utf-8")
    except OSError as error:
        raise ProfileError(f"{shown_path(path)}: {reason_of(error)}") from None
