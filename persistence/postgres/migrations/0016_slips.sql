-- Slips: money that is held, and stakes that are placed, until all is captured, released, settled or void. Whatever
-- does not know of the column and of the table leaves them out, and goes on.

ALTER TABLE ledger.entries ADD COLUMN slip text;
COMMENT ON COLUMN ledger.entries.slip IS
    'Of an entry that changed a slip: the slip afterwards, as the hash covers it. ledger.slips shows its parts.';

-- What the newest entry of each slip says; the entries are the record.
CREATE TABLE ledger.slips (
    player_id text NOT NULL,
    source_id text NOT NULL,
    slip_id text NOT NULL,
    partition integer NOT NULL,
    kind text NOT NULL,
    currency text NOT NULL,
    slip_currency text NOT NULL,
    version bigint NOT NULL,
    state text NOT NULL,
    held numeric NOT NULL,
    staked numeric NOT NULL,
    live numeric NOT NULL,
    paid numeric NOT NULL,
    cashed numeric NOT NULL,
    held_worth numeric NOT NULL,
    live_worth numeric NOT NULL,
    paid_worth numeric NOT NULL,
    expires_time timestamp with time zone,
    opened_time timestamp with time zone NOT NULL,
    changed_time timestamp with time zone NOT NULL,
    last_transaction_id text NOT NULL,
    undone_by_transaction_id text,
    PRIMARY KEY (player_id, source_id, slip_id),
    CONSTRAINT a_slip_is_in_a_known_state CHECK (state IN (
        'held', 'open', 'settled', 'voided', 'cashed_out', 'captured', 'released', 'expired', 'cancelled'
    ))
);
COMMENT ON TABLE ledger.slips IS
    'Each slip as its newest entry left it. Amounts are minor units of the slip''s currency, worths of the wallet''s.';
CREATE INDEX holds_by_deadline ON ledger.slips (expires_time) WHERE state = 'held' AND expires_time IS NOT NULL;
CREATE INDEX slips_in_play ON ledger.slips (player_id, source_id, slip_id) WHERE state IN ('held', 'open');
CREATE INDEX slips_by_player ON ledger.slips (player_id, opened_time DESC, source_id, slip_id);
GRANT SELECT ON ledger.slips TO stakehold_reader, stakehold_writer, stakehold_registrar;
GRANT INSERT, UPDATE ON ledger.slips TO stakehold_writer;
