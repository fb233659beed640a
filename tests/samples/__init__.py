"""The rules by example: calls, their answers and the balances in the end.

Both the reference and the service have to follow them.
"""

from tests.samples.amounts import AMOUNTS
from tests.samples.calls import CALLS
from tests.samples.case import Case, No, Ok, SetStatus
from tests.samples.once import ONCE
from tests.samples.rollbacks import ROLLBACKS
from tests.samples.rounds import ROUNDS
from tests.samples.settlements import SETTLEMENTS

CASES = [*ONCE, *ROLLBACKS, *SETTLEMENTS, *ROUNDS, *CALLS, *AMOUNTS]

__all__ = ["CASES", "Case", "No", "Ok", "SetStatus"]
