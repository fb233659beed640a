"""Which keys lie together: hash tags, and the slots of a Cluster."""

from binascii import crc_hqx

SLOT_COUNT = 16384


def hash_tag(key: str) -> str:
    """The part of a key that decides where it lies: between the first braces, or all of it."""
    _, opened, rest = key.partition("{")
    tag, closed, _ = rest.partition("}")
    return tag if opened and closed and tag else key


def slot_of(key: str) -> int:
    """The Cluster's slot of a key: CRC16 (XMODEM) of its hash tag."""
    return crc_hqx(hash_tag(key).encode(), 0) % SLOT_COUNT


def confirmation_key(key: str) -> str:
    """The key beside another one that a batch writes last, so that its confirmation covers all of it."""
    return f"{{{hash_tag(key)}}}:confirmed"
