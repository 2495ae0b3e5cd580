"""Puts one worker together from the settings: `build` makes its parts, `worker` runs them, `offline` without Kafka."""
