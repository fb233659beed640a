-- What this ledger is, and how far each partition's outbox has been drained into it.

CREATE TABLE ledger.settings (
    only_row boolean NOT NULL DEFAULT true,
    ledger_id uuid NOT NULL DEFAULT gen_random_uuid(),
    partition_count integer NOT NULL,
    created_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT a_ledger_has_one_row_of_settings PRIMARY KEY (only_row),
    CONSTRAINT settings_are_in_the_only_row CHECK (only_row),
    CONSTRAINT a_ledger_has_partitions CHECK (partition_count BETWEEN 1 AND 4096)
);
COMMENT ON TABLE ledger.settings IS 'Fixed at the first migration: a player''s partition follows from partition_count.';

CREATE TABLE ledger.partitions (
    partition integer NOT NULL,
    epoch bigint NOT NULL DEFAULT 1,
    state text NOT NULL DEFAULT 'new',
    cursor_epoch bigint NOT NULL DEFAULT 1,
    cursor_sequence bigint NOT NULL DEFAULT -1,
    entry_count bigint NOT NULL DEFAULT 0,
    chain_hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    stopped_reason text,
    updated_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT partitions_are_unique PRIMARY KEY (partition),
    CONSTRAINT a_partition_is_new_opening_or_open CHECK (state IN ('new', 'opening', 'open')),
    CONSTRAINT a_chain_hash_has_32_bytes CHECK (octet_length(chain_hash) = 32),
    CONSTRAINT a_cursor_is_not_ahead_of_its_epoch CHECK (cursor_epoch BETWEEN 1 AND epoch AND cursor_sequence >= -1)
);
COMMENT ON COLUMN ledger.partitions.cursor_sequence IS 'The last outbox record in the ledger; -1 before the first of an epoch.';
COMMENT ON COLUMN ledger.partitions.chain_hash IS 'The hash of the newest entry of the partition; zeros before the first.';
COMMENT ON COLUMN ledger.partitions.stopped_reason IS 'Why nothing is drained until an operator redrives the partition; null where it is drained.';

CREATE FUNCTION ledger.refuse_a_cursor_that_moves_back() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (NEW.cursor_epoch, NEW.cursor_sequence) < (OLD.cursor_epoch, OLD.cursor_sequence)
       OR NEW.entry_count < OLD.entry_count OR NEW.epoch < OLD.epoch THEN
        RAISE EXCEPTION 'the cursor of partition % cannot move back from %-% to %-%',
            OLD.partition, OLD.cursor_epoch, OLD.cursor_sequence, NEW.cursor_epoch, NEW.cursor_sequence
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'the_cursor_only_moves_forward';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER the_cursor_only_moves_forward BEFORE UPDATE ON ledger.partitions
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_a_cursor_that_moves_back();

CREATE TABLE ledger.quarantine (
    quarantine_id bigint GENERATED ALWAYS AS IDENTITY,
    partition integer NOT NULL,
    epoch bigint NOT NULL,
    sequence bigint NOT NULL,
    fields bytea[] NOT NULL,
    reason text NOT NULL,
    problem text NOT NULL,
    quarantined_time timestamptz NOT NULL DEFAULT now(),
    resolved_time timestamptz,
    CONSTRAINT quarantined_records_are_numbered PRIMARY KEY (quarantine_id),
    CONSTRAINT a_quarantined_record_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions
);
COMMENT ON TABLE ledger.quarantine IS 'Outbox records that could not be applied. Nothing after one is drained before it is resolved.';
COMMENT ON COLUMN ledger.quarantine.fields IS 'The record as it stood in the stream: names and values in turn.';
COMMENT ON COLUMN ledger.quarantine.reason IS 'The name of the error, as OutboxGap or DriftDetected.';

CREATE UNIQUE INDEX a_record_waits_in_quarantine_once ON ledger.quarantine (partition, epoch, sequence)
    WHERE resolved_time IS NULL;
