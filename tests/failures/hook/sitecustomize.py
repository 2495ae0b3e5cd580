"""Python runs this at its start where it finds it; `hooked` says what it does."""

from __future__ import annotations

import os
import time

from aiokafka import AIOKafkaConsumer

from streamer.events import Decoded, Record
from streamer.formats.decode import Decoder

STALL = b"stall here"

if "HOOK_MAX_POLL_INTERVAL_MS" in os.environ:
    stall_seconds = float(os.environ["HOOK_STALL_SECONDS"])
    decode = Decoder.decode

    def decode_slowly(decoder: Decoder, record: Record) -> Decoded:
        if STALL in (record.value or b""):
            time.sleep(stall_seconds)
        return decode(decoder, record)

    AIOKafkaConsumer.__init__.__kwdefaults__["max_poll_interval_ms"] = int(os.environ["HOOK_MAX_POLL_INTERVAL_MS"])
    Decoder.decode = decode_slowly  # type: ignore[assignment, method-assign]
