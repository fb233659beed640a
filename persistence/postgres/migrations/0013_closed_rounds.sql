-- Rounds that are closed by a call of their own. All that stands is of the types of before, so that nothing is
-- looked through: ledger.entries is never locked for longer than it takes to say this.

ALTER TABLE ledger.entries DROP CONSTRAINT an_entry_is_of_a_known_type;
ALTER TABLE ledger.entries ADD CONSTRAINT an_entry_is_of_a_known_type CHECK (
    entry_type IN (
        'applied', 'refused', 'no_movement', 'tombstone', 'wallet_opened', 'status_changed', 'round_closed'
    )
) NOT VALID;
