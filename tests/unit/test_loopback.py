"""Which addresses nobody on another machine can reach."""

import pytest

from service.transport.loopback import loopback_addresses


@pytest.mark.parametrize(
    ("listen", "addresses"),
    [
        ("127.0.0.1:50051", ["127.0.0.1:50051"]),
        ("127.9.9.9:1", ["127.9.9.9:1"]),
        ("[::1]:50051", ["[::1]:50051"]),
        ("::1:50051", ["[::1]:50051"]),
        ("0.0.0.0:50051", []),
        ("[::]:50051", []),
        (":50051", []),
        ("*:50051", []),
        ("10.0.0.1:50051", []),
        ("[::ffff:10.0.0.1]:50051", []),
        ("0:50051", []),
        ("127.0.0.1", []),
        ("127.0.0.1:", []),
        ("127.0.0.1:x", []),
        ("127.0.0.1:-1", []),
        ("127.0.0.1:99999999", []),
        ("no-such-host.invalid:1", []),
        ("unix:/run/stakehold.sock", []),
        ("unix-abstract:stakehold", []),
        ("vsock:-1:50051", []),
        ("dns:///localhost:50051", []),
        ("ipv4:127.0.0.1:50051", []),
        ("", []),
    ],
)
def test_addresses_of_loopback_alone_are_given_in_numbers(listen: str, addresses: list[str]) -> None:
    assert loopback_addresses(listen) == addresses


def test_this_machines_name_for_itself_is_looked_up() -> None:
    assert "127.0.0.1:50051" in loopback_addresses("localhost:50051")
