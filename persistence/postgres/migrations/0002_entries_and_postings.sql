-- Double entry: accounts, entries, the postings of each, and what follows from them.
-- What does not apply is null. Amounts are integers of the currency's minor units.

CREATE TABLE ledger.accounts (
    account_id bigint GENERATED ALWAYS AS IDENTITY,
    partition integer NOT NULL,
    owner_kind text NOT NULL,
    owner_id text NOT NULL,
    bucket text NOT NULL,
    currency text NOT NULL,
    CONSTRAINT accounts_are_numbered PRIMARY KEY (account_id),
    CONSTRAINT an_owner_has_one_account_per_currency_bucket_and_partition
        UNIQUE (owner_kind, owner_id, currency, bucket, partition),
    CONSTRAINT an_account_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions,
    CONSTRAINT an_owner_is_a_player_a_source_or_the_house CHECK (owner_kind IN ('player', 'source', 'house')),
    CONSTRAINT only_the_house_has_no_id CHECK ((owner_kind = 'house') = (owner_id = ''))
);
COMMENT ON TABLE ledger.accounts IS
    'Sources and the house have one account in each partition, so that no row is shared by two drainers.';

CREATE TABLE ledger.balances (
    account_id bigint NOT NULL,
    balance numeric(38, 0) NOT NULL,
    CONSTRAINT an_account_has_one_balance PRIMARY KEY (account_id),
    CONSTRAINT a_balance_is_of_an_account FOREIGN KEY (account_id) REFERENCES ledger.accounts
) WITH (fillfactor = 60);
COMMENT ON TABLE ledger.balances IS 'The sum of each account''s postings, kept by a trigger; nobody may write it.';

CREATE TABLE ledger.wallets (
    player_id text NOT NULL,
    currency text NOT NULL,
    partition integer NOT NULL,
    version bigint NOT NULL,
    status text NOT NULL,
    credit_line numeric(38, 0) NOT NULL,
    opened_time timestamptz NOT NULL,
    last_booked_time timestamptz NOT NULL,
    CONSTRAINT a_player_has_one_wallet_per_currency PRIMARY KEY (player_id, currency),
    CONSTRAINT a_wallet_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions
) WITH (fillfactor = 60);
COMMENT ON TABLE ledger.wallets IS 'Each wallet as of its newest entry, kept by a trigger; nobody may write it.';

CREATE TABLE ledger.entries (
    partition integer NOT NULL,
    epoch bigint NOT NULL,
    sequence bigint NOT NULL,
    entry_index smallint NOT NULL,
    chain_position bigint NOT NULL,
    entry_type text NOT NULL,
    operation text,
    player_id text NOT NULL,
    source_id text NOT NULL,
    transaction_id text NOT NULL,
    kind text,
    fingerprint text NOT NULL,
    currency text,
    amount numeric(38, 0),
    version bigint,
    cash_change numeric(38, 0) NOT NULL,
    bonus_change numeric(38, 0) NOT NULL,
    held_change numeric(38, 0) NOT NULL,
    receivable_change numeric(38, 0) NOT NULL,
    cash_after numeric(38, 0),
    bonus_after numeric(38, 0),
    held_after numeric(38, 0),
    receivable_after numeric(38, 0),
    wallet_version bigint,
    wallet_status text,
    credit_line numeric(38, 0),
    game_id text,
    round_id text,
    reference_transaction_id text,
    outcome text,
    refusal_reason text,
    related_transaction_id text,
    late boolean NOT NULL,
    closes_round boolean NOT NULL,
    occurred_time timestamptz,
    booked_time timestamptz NOT NULL,
    recorded_time timestamptz NOT NULL DEFAULT now(),
    metadata jsonb NOT NULL,
    previous_hash bytea NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT an_entry_has_one_place_in_the_outbox PRIMARY KEY (partition, epoch, sequence, entry_index),
    CONSTRAINT an_entry_has_one_place_in_its_chain UNIQUE (partition, chain_position),
    CONSTRAINT a_transaction_id_takes_effect_once UNIQUE (player_id, source_id, transaction_id),
    CONSTRAINT an_entry_is_of_a_known_type CHECK (
        entry_type IN ('applied', 'refused', 'no_movement', 'tombstone', 'wallet_opened', 'status_changed')
    ),
    CONSTRAINT a_change_of_a_wallet_has_a_version CHECK (
        (version IS NOT NULL) = (entry_type IN ('applied', 'wallet_opened', 'status_changed'))
    ),
    CONSTRAINT a_wallet_is_opened_by_its_first_version CHECK ((version IS NOT DISTINCT FROM 1) = (entry_type = 'wallet_opened')),
    CONSTRAINT a_change_of_a_wallet_says_what_it_became CHECK (
        version IS NULL
        OR (
            wallet_version = version
            AND num_nulls(
                currency, wallet_status, credit_line, cash_after, bonus_after, held_after, receivable_after
            ) = 0
        )
    ),
    CONSTRAINT only_applied_entries_move_money CHECK (
        entry_type = 'applied'
        OR (cash_change = 0 AND bonus_change = 0 AND held_change = 0 AND receivable_change = 0)
    ),
    CONSTRAINT a_refusal_has_a_reason CHECK (entry_type <> 'refused' OR refusal_reason IS NOT NULL),
    CONSTRAINT hashes_have_32_bytes CHECK (octet_length(previous_hash) = 32 AND octet_length(hash) = 32)
);
COMMENT ON TABLE ledger.entries IS 'Everything that was decided, in the order of each partition''s outbox. Append-only.';
COMMENT ON COLUMN ledger.entries.chain_position IS 'Contiguous from 0 in each partition.';
COMMENT ON COLUMN ledger.entries.booked_time IS 'When the wallet decided it.';
COMMENT ON COLUMN ledger.entries.recorded_time IS 'When it was drained; the only column that the hash leaves out.';
COMMENT ON COLUMN ledger.entries.kind IS 'Of an applied rollback the kind of its original.';

CREATE UNIQUE INDEX a_wallet_has_each_version_once ON ledger.entries (player_id, currency, version)
    WHERE version IS NOT NULL;
CREATE INDEX entries_by_time ON ledger.entries (booked_time, partition, chain_position);
CREATE INDEX entries_by_player ON ledger.entries (player_id, booked_time, partition, chain_position);
CREATE INDEX entries_by_source ON ledger.entries (source_id, booked_time, partition, chain_position);
CREATE INDEX entries_by_round ON ledger.entries (round_id, booked_time, partition, chain_position)
    WHERE round_id IS NOT NULL;
CREATE INDEX rollbacks_by_original ON ledger.entries (player_id, source_id, reference_transaction_id)
    WHERE operation = 'rollback';

CREATE TABLE ledger.postings (
    partition integer NOT NULL,
    epoch bigint NOT NULL,
    sequence bigint NOT NULL,
    entry_index smallint NOT NULL,
    posting_index smallint NOT NULL,
    account_id bigint NOT NULL,
    currency text NOT NULL,
    amount numeric(38, 0) NOT NULL,
    CONSTRAINT a_posting_has_one_place_in_its_entry PRIMARY KEY (partition, epoch, sequence, entry_index, posting_index),
    CONSTRAINT a_posting_moves_something CHECK (amount <> 0)
);
COMMENT ON TABLE ledger.postings IS
    'The legs of entries. Append-only. Triggers see to it that a posting''s entry and account exist.';
COMMENT ON COLUMN ledger.postings.amount IS 'Positive is in the account owner''s favour.';
