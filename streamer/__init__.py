"""Labels reviews from Kafka with sentiment: length-bucketed batches, order kept, offsets exact."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("sentiment-streamer")
except PackageNotFoundError:  # Run from a checkout that was never installed.
    __version__ = "0+unknown"
