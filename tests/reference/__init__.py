"""A wallet service in plain Python, written from the rules alone: what the real one must say.

It shares no code and no data structure with the service. Where the service keeps counters, this keeps every
record and looks through all of them; where the service undoes, this works on a copy and throws it away. It
is slow and short on purpose.

The rules, as they are stated for callers and, where that is silent, as they were decided:

**Unit.** A transaction id per step, in the scope (player, source). A call is a list of steps, all or
nothing; a single debit, credit or rollback is a call of one step. Later steps see the effects of earlier
ones.

**Versions.** Opening a wallet is version 1. Each applied step, also one of zero, gives the wallet that it
touches the next version; so does a status change that changes something. Refusals, tombstones and rollbacks
that moved nothing take none.

**Order of checks, per step.**

0. Before anything, for all steps: malformed fields INVALID_FIELD, unknown currency CURRENCY_UNKNOWN,
   unknown source SOURCE_NOT_FOUND. Nothing is remembered.
1. Id seen. Another fingerprint: TRANSACTION_ID_CONFLICT. The same: applied, replay; applied and rolled back
   since, TRANSACTION_ROLLED_BACK; refused, the same refusal, replayed. The fingerprint is operation, kind,
   player, currency, amount in minor units ("10" is "10.00"), round, game and reference (of a rollback: its
   original).
2. Tombstoned: TRANSACTION_ROLLED_BACK, whatever the payload.
3. Fit, in this order: WALLET_NOT_FOUND*; VERSION_MISMATCH*, against the version just before the step; zero
   under the REFUSE policy ZERO_AMOUNT_REFUSED; source disabled: debits, DEPOSIT and BONUS SOURCE_DISABLED;
   currency NO_NEW_DEBITS: debits CURRENCY_DISABLED; currency DISABLED: debits, DEPOSIT and BONUS
   CURRENCY_DISABLED; references; rounds. References are checked for settling credits, WIN and REFUND. With
   a reference: unknown id, by policy REFERENCE_NOT_FOUND* or accepted; tombstoned BET_ROLLED_BACK; refused
   BET_REFUSED; not an applied BET, or of another currency, or of another (game, round) than the credit
   names REFERENCE_MISMATCH; rolled back BET_ROLLED_BACK. With a round alone: no bet ever applied in it, by
   policy as an unknown bet; all of them rolled back BET_ROLLED_BACK. With neither: accepted as it is.
   Rounds: BET on a closed round ROUND_CLOSED; settling credit on a closed round, by policy late or
   ROUND_CLOSED. A credit that refers to a bet and names no round belongs to the bet's round.
4. Debits on a wallet that is closed WALLET_CLOSED, frozen WALLET_FROZEN; DEPOSIT and BONUS on a closed one
   WALLET_CLOSED.
5. Debits, also of zero, that leave cash below minus the credit line INSUFFICIENT_FUNDS. A balance of more
   than 36 digits BALANCE_OVERFLOW.
6. Apply. A credit first pays the player's receivable.

**Rounds.** (player, source, game, round). ``close_round`` closes it, on debits and credits, known or not; so
does a closing, a call of its own that touches no wallet: APPLIED, or ALREADY_CLOSED where it was closed. A
closing has an id as every transaction, replays as one, and is NOT_REVERSIBLE. Nothing re-opens a round.

**Rollback** R of X. R is X: INVALID_FIELD. R seen: as in 1, but a replayed rollback that was applied
answers ALREADY_ROLLED_BACK. R tombstoned: TRANSACTION_ROLLED_BACK. X unknown: NO_ORIGINAL, and X becomes a
tombstone. X tombstoned or rolled back: ALREADY_ROLLED_BACK. X refused: ORIGINAL_REFUSED. X a rollback:
NOT_REVERSIBLE, unless it undid what changed a slip. An amount or currency that differs: AMOUNT_MISMATCH. X a
bet with live wins (those that refer to it, or, in its round, those that refer to nothing) which this call
does not also roll back, in any order: by policy BET_SETTLED or allowed. Then the exact inverse of what X did
to cash and receivable applies, whatever the status of wallet, currency and source. Where that takes more cash
than there is above zero: NEGATIVE goes below zero; CLAMP takes what there is and adds the rest to the
receivable; REJECT refuses with INSUFFICIENT_FUNDS. A debt that X had caused and that was paid since is given
back as cash.

**Slips.** A slip is opened by HOLD (cash becomes held) or PLACE (cash is staked) and bears the opening's id.
The openings are checked as debits are; for a WITHDRAWAL the credit line does not count. What a slip is
follows from the changes on it that stand. A change is checked in this order: REFERENCE_NOT_FOUND*; the
reference tombstoned or rolled back BET_ROLLED_BACK; refused BET_REFUSED; no slip, another currency, or what
only bets allow on a WITHDRAWAL: REFERENCE_MISMATCH; VERSION_MISMATCH*; a named amount of zero, but for
RESETTLE's total, under the REFUSE policy ZERO_AMOUNT_REFUSED; the state: SLIP_NOT_PLACED* while it is held,
else HOLD_RELEASED, HOLD_EXPIRED, HOLD_CLOSED, SLIP_NOT_VOIDED, SLIP_SETTLED, SLIP_VOIDED,
SLIP_CASHED_OUT, SLIP_NOT_SETTLED; a
capture past the deadline HOLD_EXPIRED; more than is held HOLD_EXCEEDED; a stake of more than is live
STAKE_EXCEEDED; a void once settlements have paid SLIP_SETTLED; what is taken back and gone as for rollbacks.
Neither the wallet's, the source's nor the currency's status stands in their way. The fingerprint covers also
whether it is the last, and the stake, but not the deadline. Only the newest change that stands can be rolled
back, else SLIP_MOVED_ON; the newest rollback can be rolled back until something new is done, and then what it
undid stands again; a rollback of a rollback is NOT_REVERSIBLE, and so is everything on a slip whose opening
is rolled back.

**Refusals.** Nothing of the call is applied. A final refusal is remembered for every id that is new in the
call, for the other ids with the failing step as the related transaction. Not final are the reasons marked
*, TRANSACTION_ID_CONFLICT, TRANSACTION_ROLLED_BACK, and refusals given again: after these nothing new is
remembered for any id of the call.
"""

from tests.reference.answers import (
    CallRefused,
    Lookup,
    Malformed,
    Opened,
    Refusal,
    Result,
    State,
    StatusSet,
    Wallet,
)
from tests.reference.house import Currency, House
from tests.reference.policies import Policies
from tests.reference.slips import ShownSlip
from tests.reference.steps import (
    Asked,
    Credit,
    Debit,
    Money,
    Rollback,
    RoundClosing,
    SlipChange,
    SlipOpening,
    Step,
)

__all__ = [
    "Asked",
    "CallRefused",
    "Credit",
    "Currency",
    "Debit",
    "House",
    "Lookup",
    "Malformed",
    "Money",
    "Opened",
    "Policies",
    "Refusal",
    "Result",
    "Rollback",
    "RoundClosing",
    "ShownSlip",
    "SlipChange",
    "SlipOpening",
    "State",
    "StatusSet",
    "Step",
    "Wallet",
]
