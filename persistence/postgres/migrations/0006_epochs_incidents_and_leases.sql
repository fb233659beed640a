-- What survives the loss of a store: which epochs a partition had and what each one follows, what went wrong
-- and was repaired, who drains, and who vouches for which store.

CREATE TABLE ledger.epochs (
    partition integer NOT NULL,
    epoch bigint NOT NULL,
    follows_epoch bigint NOT NULL,
    follows_sequence bigint NOT NULL,
    generation bigint NOT NULL,
    incarnation text NOT NULL,
    reason text NOT NULL,
    started_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT an_epoch_starts_once PRIMARY KEY (partition, epoch),
    CONSTRAINT an_epoch_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions,
    CONSTRAINT an_epoch_follows_an_earlier_one CHECK (follows_epoch < epoch AND follows_sequence >= -1),
    CONSTRAINT memory_is_not_newer_than_its_epoch CHECK (generation BETWEEN 1 AND epoch)
);
COMMENT ON TABLE ledger.epochs IS
    'Each time that a partition was taken over: by another primary, or by the same one after a restart.';
COMMENT ON COLUMN ledger.epochs.follows_sequence IS
    'With follows_epoch the last outbox record before the first of this epoch; what came after it is lost.';
COMMENT ON COLUMN ledger.epochs.generation IS
    'The epoch since which the store''s memory of players holds; what it remembers from before is not used.';
COMMENT ON COLUMN ledger.epochs.incarnation IS 'The replication id of the primary that was taken over.';

CREATE TABLE ledger.incidents (
    incident_id bigint GENERATED ALWAYS AS IDENTITY,
    incident_key text NOT NULL,
    kind text NOT NULL,
    partition integer NOT NULL,
    player_id text,
    source_id text,
    transaction_id text,
    entry_id text,
    description text NOT NULL,
    raised_time timestamptz NOT NULL DEFAULT now(),
    resolved_time timestamptz,
    resolution text,
    CONSTRAINT incidents_are_numbered PRIMARY KEY (incident_id),
    CONSTRAINT an_incident_is_raised_once UNIQUE (incident_key),
    CONSTRAINT an_incident_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions,
    CONSTRAINT an_incident_is_of_a_known_kind CHECK (
        kind IN ('memory_lost', 'acknowledged_lost', 'history_forked', 'late_duplicate')
    ),
    CONSTRAINT a_resolved_incident_says_how CHECK ((resolved_time IS NULL) = (resolution IS NULL))
);
COMMENT ON TABLE ledger.incidents IS 'What a person must know of: nothing that went wrong is absorbed in silence.';
COMMENT ON COLUMN ledger.incidents.incident_key IS 'Names the occurrence, so that whoever sees it again adds nothing.';
CREATE INDEX open_incidents ON ledger.incidents (incident_id) WHERE resolved_time IS NULL;

CREATE TABLE ledger.repairs (
    player_id text NOT NULL,
    source_id text NOT NULL,
    transaction_id text NOT NULL,
    partition integer NOT NULL,
    incident_id bigint NOT NULL,
    operation text NOT NULL,
    kind text NOT NULL,
    fingerprint text NOT NULL,
    currency text NOT NULL,
    amount numeric(38, 0) NOT NULL,
    cash_change numeric(38, 0) NOT NULL,
    bonus_change numeric(38, 0) NOT NULL,
    held_change numeric(38, 0) NOT NULL,
    receivable_change numeric(38, 0) NOT NULL,
    game_id text NOT NULL,
    round_id text NOT NULL,
    reference_transaction_id text NOT NULL,
    metadata jsonb NOT NULL,
    CONSTRAINT a_repair_has_an_id_of_its_own PRIMARY KEY (player_id, source_id, transaction_id),
    CONSTRAINT a_repair_is_of_an_incident FOREIGN KEY (incident_id) REFERENCES ledger.incidents
);
COMMENT ON TABLE ledger.repairs IS
    'Movements that the service itself owes a wallet. One is done as soon as an entry has its id.';

CREATE TABLE ledger.drainers (
    drainer_id text NOT NULL,
    seen_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT a_drainer_is_listed_once PRIMARY KEY (drainer_id)
);
COMMENT ON TABLE ledger.drainers IS 'Who drains now, so that they can share the partitions.';

ALTER TABLE ledger.partitions
    ADD COLUMN lease bigint NOT NULL DEFAULT 0,
    ADD COLUMN leased_by text,
    ADD COLUMN leased_until timestamptz;
COMMENT ON COLUMN ledger.partitions.lease IS
    'Grows whenever the partition gets another drainer. A commit under an older lease is refused.';

CREATE TABLE ledger.vouchers (
    server_id text NOT NULL,
    partition integer NOT NULL,
    incarnation text NOT NULL,
    seen_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT a_server_vouches_for_one_store PRIMARY KEY (server_id, partition)
);
COMMENT ON TABLE ledger.vouchers IS
    'Servers that reach a partition''s store now. While one does, no other store is put in its place.';

-- What refers to a transaction, and what was done in a round: for the memory of ids beyond the store's.
CREATE INDEX entries_by_reference ON ledger.entries (player_id, source_id, reference_transaction_id)
    WHERE reference_transaction_id IS NOT NULL;
CREATE INDEX entries_by_players_round ON ledger.entries (player_id, source_id, game_id, round_id)
    WHERE round_id IS NOT NULL;
DROP INDEX ledger.rollbacks_by_original;

GRANT SELECT ON ledger.epochs, ledger.incidents, ledger.repairs, ledger.drainers, ledger.vouchers
    TO stakehold_reader, stakehold_writer;
GRANT INSERT ON ledger.epochs, ledger.incidents, ledger.repairs TO stakehold_writer;
GRANT UPDATE (resolved_time, resolution) ON ledger.incidents TO stakehold_writer;
GRANT INSERT, UPDATE, DELETE ON ledger.drainers, ledger.vouchers TO stakehold_writer;
GRANT UPDATE (lease, leased_by, leased_until) ON ledger.partitions TO stakehold_writer;
