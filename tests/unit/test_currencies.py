"""The currencies that a new registry begins with."""

import re

import pytest

from fx.currencies import MAX_SCALE, CurrencyKind, CurrencyStatus, initial_currencies

CURRENCIES = {currency.code: currency for currency in initial_currencies()}


@pytest.mark.parametrize(
    ("code", "scale"),
    [
        ("EUR", 2),
        ("USD", 2),
        ("BRL", 2),
        ("GBP", 2),
        ("JPY", 0),
        ("KRW", 0),
        ("VND", 0),
        ("CLP", 0),
        ("ISK", 0),
        ("XAF", 0),
        ("KWD", 3),
        ("BHD", 3),
        ("TND", 3),
        ("OMR", 3),
        ("CLF", 4),
        ("USDT", 6),
        ("USDC", 6),
        ("BTC", 8),
        ("DAI", 18),
        ("ETH", 18),
    ],
)
def test_a_currency_has_the_decimals_that_its_issuer_gives_it(code: str, scale: int) -> None:
    assert CURRENCIES[code].scale == scale


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("EUR", CurrencyKind.FIAT),
        ("USDT", CurrencyKind.STABLECOIN),
        ("DAI", CurrencyKind.STABLECOIN),
        ("ETH", CurrencyKind.CRYPTO),
    ],
)
def test_a_currency_is_of_its_kind(code: str, kind: CurrencyKind) -> None:
    assert CURRENCIES[code].kind is kind


def test_each_code_is_there_once_in_alphabetical_order() -> None:
    codes = [currency.code for currency in initial_currencies()]

    assert codes == sorted(set(codes))


def test_every_currency_can_be_put_as_it_is() -> None:
    for currency in CURRENCIES.values():
        assert re.fullmatch(r"[A-Z][A-Z0-9]{2,11}", currency.code)
        assert currency.display_name
        assert 0 <= currency.scale <= MAX_SCALE
        assert currency.status is CurrencyStatus.ENABLED


@pytest.mark.parametrize("code", ["DEM", "XXX", "XTS", "FRF", "ZWD"])
def test_a_currency_that_is_nobodys_tender_today_is_not_there(code: str) -> None:
    assert code not in CURRENCIES


def test_no_tender_of_today_is_missing() -> None:
    assert 150 < len(CURRENCIES) < 200
