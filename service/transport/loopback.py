"""Addresses that nobody on another machine can reach."""

import ipaddress
import re
import socket

_HOST = re.compile(r"[A-Za-z0-9._:-]+")
_PORT = re.compile(r"[0-9]{1,5}")


def loopback_addresses(listen: str) -> list[str]:
    """``host:port`` in numbers, IPv4 first; empty unless all that the host stands for is loopback.

    A name is looked up once, here: what it is said to be later does not matter to who uses the numbers.
    Unix sockets are not among them: who can reach one is for some file system to decide.
    """
    host, _, port = listen.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not _HOST.fullmatch(host) or not _PORT.fullmatch(port) or int(port) > 65535:
        return []
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    numbers = {str(address[0]) for *_, address in found}
    if not all(ipaddress.ip_address(number).is_loopback for number in numbers):
        return []
    return [
        f"[{number}]:{port}" if ":" in number else f"{number}:{port}"
        for number in sorted(numbers, key=lambda number: (":" in number, number))
    ]
