"""`streamer dashboard`: on the workers' topics or, with `--demo`, on an embedded broker."""

from __future__ import annotations

from streamer.dashboard.serving import dashboard
from streamer.settings import Settings


async def serve(settings: Settings) -> None:
    """Serve the dashboard until SIGINT or SIGTERM. Raises what `dashboard.serving.dashboard` raises."""
    await dashboard(settings, _print_address)


async def serve_demo() -> None:
    """Serve it with a worker and a replayed stream until Ctrl-C. Raises what `demo.dashboard.demonstrate` raises."""
    from streamer.demo.dashboard import demonstrate  # Late: it imports torch, which the pages do not need.

    await demonstrate(_print_address)


def _print_address(address: str) -> None:
    print(f"The dashboard is on {address}", flush=True)
