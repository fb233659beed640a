"""How a source wants to be dealt with where sources differ."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policies:
    """The words of the API's policies, with its defaults."""

    status: str = "ENABLED"
    settled_rollback: str = "REFUSE"
    unknown_bet: str = "REFUSE"
    late_win: str = "ACCEPT"
    shortfall: str = "NEGATIVE"
    zero_amount: str = "ACCEPT"
