"""OpenTelemetry traces."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from streamer.settings.fields import Section, split_url


class TracingSettings(Section):
    enabled: bool = False
    """Whether to send OpenTelemetry traces of batches and commits; needs the extra `tracing`."""
    endpoint: str | None = None
    """OTLP over HTTP, such as `http://collector:4318`; unset, the standard `OTEL_EXPORTER_OTLP_*` variables apply."""
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of batches and commits that are traced."""
    max_links: Annotated[int, Field(ge=0, le=128)] = 32
    """Maximum number of links from a batch's span to the traces of its reviews."""

    @model_validator(mode="after")
    def _check_endpoint(self) -> Self:
        if self.endpoint is not None:
            url = split_url(self.endpoint, "endpoint")
            if url.scheme not in ("http", "https") or not url.hostname:
                raise ValueError("endpoint must begin with http:// or https:// and name a host")
            if url.username is not None or url.password is not None:
                raise ValueError("endpoint must not hold a user or a password: set OTEL_EXPORTER_OTLP_HEADERS")
        return self
