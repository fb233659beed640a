"""How the store's address is read."""

import pytest

from persistence.errors import SetupRefused
from persistence.valkey.addresses import NodeAddress, StoreAddress


def test_a_plain_address_is_one_node_and_stays_as_it_is() -> None:
    url = "rediss://wallet:s%40cret@valkey:6380/0?ssl_cert_reqs=none"
    address = StoreAddress.parse(url)

    assert not address.is_cluster
    assert address.url_of(address.seeds[0]) == url


def test_a_clusters_address_names_some_of_its_nodes() -> None:
    address = StoreAddress.parse("redis+cluster://a:7000,b,[::1]:7002/")

    assert address.is_cluster
    assert address.seeds == (NodeAddress("a", 7000), NodeAddress("b", 6379), NodeAddress("::1", 7002))


@pytest.mark.parametrize(
    ("url", "node_url"),
    [
        ("redis+cluster://a:7000/", "redis://x:1/0"),
        ("rediss+cluster://a:7000,b:7000", "rediss://x:1/0"),
        ("redis+cluster://wallet:s%40cret@a,b/0?socket_keepalive=1", "redis://wallet:s%40cret@x:1/0?socket_keepalive=1"),
        ("redis+cluster://:secret@a", "redis://:secret@x:1/0"),
    ],
)  # fmt: skip
def test_every_node_of_a_cluster_is_reached_in_the_same_way(url: str, node_url: str) -> None:
    assert StoreAddress.parse(url).url_of(NodeAddress("x", 1)) == node_url


def test_a_nodes_name_may_be_an_ipv6_address() -> None:
    assert StoreAddress.parse("redis+cluster://a/").url_of(NodeAddress("::1", 7)) == "redis://[::1]:7/0"


@pytest.mark.parametrize(
    "url",
    [
        "redis+cluster:///",
        "redis+cluster://,/",
        "redis+cluster://a:port/",
        "redis+cluster://a:70000/",
        "redis+cluster://secret@a/5",
        "http+cluster://secret@a/",
        "+cluster://secret@a/",
        "redis+cluster://secret@a/?socket_timeout=soon",
    ],
)
def test_an_address_that_makes_no_sense_is_told_without_its_password(url: str) -> None:
    with pytest.raises(SetupRefused, match="STAKEHOLD_VALKEY_URL") as refused:
        StoreAddress.parse(url)

    assert "secret" not in str(refused.value)
