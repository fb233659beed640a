"""What a listener's address is opened with."""

from typing import Protocol

import grpc

from persistence.errors import SetupRefused
from service.transport.loopback import loopback_addresses


class Door(Protocol):
    """Opens addresses, each for one server."""

    def open(self, server: grpc.aio.Server, listen: str, *, setting: str) -> int:
        """The port. ``setting`` is the variable that has the address. Raises SetupRefused."""
        ...


class DevelopmentDoor:
    """Without TLS, and so on loopback alone."""

    def open(self, server: grpc.aio.Server, listen: str, *, setting: str) -> int:
        """All of them that the address' name stands for, as far as the machine has them."""
        addresses = loopback_addresses(listen)
        if not addresses:
            raise SetupRefused(
                f"cannot listen on {listen} without TLS, for it is no loopback address: set {setting} to one "
                "such as 127.0.0.1:50051, or STAKEHOLD_TLS_CERT_FILE, STAKEHOLD_TLS_KEY_FILE and "
                "STAKEHOLD_CALLERS_FILE instead of STAKEHOLD_INSECURE_DEVELOPMENT"
            )
        if listen.endswith(":0"):  # the port that the first one gets is hardly free with another
            del addresses[1:]
        ports, failures = [], []
        for address in addresses:
            try:
                ports.append(server.add_insecure_port(address))
            except RuntimeError as error:
                failures.append(error)
        if not ports:
            raise taken(listen, setting, failures[0])
        return ports[0]


def taken(listen: str, setting: str, error: Exception) -> SetupRefused:
    """What is said where gRPC does not get an address."""
    return SetupRefused(f"cannot listen on {listen}: {error}; set {setting} to a free one")
