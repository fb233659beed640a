"""What is made of a store's memory stands where it stood before, however often it is made."""

from itertools import product

from persistence.remembered import opening_record, status_record
from persistence.transactions import (
    Buckets,
    CurrencyCode,
    OutboxPosition,
    PlayerId,
    WalletBalance,
    WalletStatus,
)

LARGEST = 2**63 - 1


def wallet(currency: str, version: int = 7) -> WalletBalance:
    return WalletBalance(CurrencyCode(currency), version, WalletStatus.DEBITS_FROZEN, Buckets(), 0)


def test_openings_and_statuses_have_places_of_their_own_that_stay() -> None:
    """Some may be kept, others drained meanwhile, and the repair be said again: none takes another's."""
    makers = (opening_record, status_record)
    players = [PlayerId(f"player-{number}") for number in range(100)]

    def made() -> list[str]:
        return [
            make(player, wallet(currency), epoch=3).stream_id
            for make, player, currency in product(makers, players, ("EUR", "USD"))
        ]

    places = [OutboxPosition.parse(text) for text in made()]
    assert made() == [str(place) for place in places]
    assert len(set(places)) == 400
    assert all(place.epoch == 3 and 2**62 <= place.sequence <= LARGEST for place in places)
    one = status_record(players[0], wallet("EUR", 7), epoch=3)
    assert one.stream_id != status_record(players[0], wallet("EUR", 8), epoch=3).stream_id
