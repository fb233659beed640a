"""Moments as messages."""

from google.protobuf.timestamp_pb2 import Timestamp


def timestamp_of_ms(unix_ms: int) -> Timestamp:
    return Timestamp(seconds=unix_ms // 1000, nanos=unix_ms % 1000 * 1_000_000)
