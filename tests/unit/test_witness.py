"""The witness as it is written in the store, letter by letter."""

from uuid import UUID

import pytest

from persistence.witness import Witness

OURS = UUID("00000000-0000-4000-8000-00000000aaaa")
PRIMARY = "0123456789abcdef0123456789abcdef01234567"
WITNESS = Witness(7, OURS, 5, PRIMARY)


def test_a_witness_is_epoch_ledger_id_generation_and_incarnation() -> None:
    assert str(WITNESS) == f"7 {OURS} 5 {PRIMARY}"
    assert Witness.parse(str(WITNESS)) == WITNESS


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "7",
        str(OURS),
        f"7 {OURS}",
        f"7 {OURS} 5",
        f"7 {OURS} 5 ",
        f" 7 {OURS} 5 {PRIMARY}",
        f"07 {OURS} 5 {PRIMARY}",
        f"+7 {OURS} 5 {PRIMARY}",
        f"\u0667 {OURS} 5 {PRIMARY}",
        f"7  {OURS} 5 {PRIMARY}",
        f"7\t{OURS} 5 {PRIMARY}",
        f"7 {OURS} 5 {PRIMARY} ",
        f"7 {OURS} 5 {PRIMARY}\n",
        f"7 {str(OURS).upper()} 5 {PRIMARY}",
        f"7 {OURS.hex} 5 {PRIMARY}",
        f"7 {OURS} 05 {PRIMARY}",
        f"7 {OURS} 5 {PRIMARY.upper()}",
        f"7 {OURS} 5 nobody",
        "9" * 5000,
    ],
)
def test_nothing_else_is_a_witness(text: str) -> None:
    with pytest.raises(ValueError, match=r"witness|badly|invalid|values to unpack|Exceeds"):
        Witness.parse(text)
