"""Labels reviews from Kafka with sentiment: batches by length, keeps the order, commits exact offsets."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("sentiment-streamer")
except PackageNotFoundError:  # Run from a checkout that is not installed.
    __version__ = "0+unknown"
