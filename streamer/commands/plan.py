"""`streamer plan`: workers, cores, partitions, bytes and latency for a rate of reviews."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from streamer.planning import profiles
from streamer.planning.plan import Request, plan
from streamer.planning.profile import Profile
from streamer.planning.profiles import ProfileError
from streamer.planning.table import as_json, show
from streamer.printable import shown_path
from streamer.settings import Settings

__all__ = ["ProfileSource", "Request", "print_plan"]


@dataclass(frozen=True, slots=True)
class ProfileSource:
    """Where the profile comes from: a file, a measurement of this host, or the stored one for a device.

    file: a profile measured elsewhere. measure: measure this host. save: where to save the measured profile.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    file: Path | None = None
    measure: bool = False
    save: Path | None = None


def print_plan(request: Request, source: ProfileSource, settings: Callable[[], Settings], *, json: bool) -> None:
    """Print the plan, as a table or as JSON. `settings` is called only for a measurement.

    Raises PlanError, ProfileError, SettingsError and ModelError.
    """
    profile = _profile(source, settings, request.mean_tokens)
    made = plan(profile, request)
    if json:
        print(orjson.dumps(as_json(made, profile), option=orjson.OPT_INDENT_2).decode())
    else:
        show(made, profile)


def _profile(source: ProfileSource, settings: Callable[[], Settings], mean_tokens: float) -> Profile:
    if source.file is not None and source.measure:
        raise ProfileError("--profile and --measure cannot be used together")
    if source.save is not None and not source.measure:
        raise ProfileError("--save saves the profile that --measure makes: it needs --measure")
    if source.measure:
        profile = _measure(source.device, settings(), mean_tokens)
        if source.save is not None:
            profiles.write(profile, source.save)
        return profile
    if source.file is None:
        return profiles.stored("cuda" if source.device == "cuda" else "cpu")
    profile = profiles.read(source.file)
    if source.device not in ("auto", profile.device):
        raise ProfileError(f"{shown_path(source.file)}: measured on {profile.device}, not on {source.device}")
    return profile


def _measure(device: str, settings: Settings, mean_tokens: float) -> Profile:
    # Imported late: it imports torch, which a plan from a stored profile does not need.
    from streamer.demo.samples import sample_texts
    from streamer.planning.measure import measure

    if device != "auto":
        settings = settings.model_copy(update={"model": settings.model.model_copy(update={"device": device})})
    return measure(settings, mean_tokens, sample_texts())
