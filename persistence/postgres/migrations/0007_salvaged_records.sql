-- Outbox records that were answered and are no part of their partition's history any more: kept until each of
-- their entries stands in the ledger again.

CREATE TABLE ledger.salvaged (
    salvaged_id bigint GENERATED ALWAYS AS IDENTITY,
    partition integer NOT NULL,
    epoch bigint NOT NULL,
    sequence bigint NOT NULL,
    incarnation text NOT NULL,
    fields bytea[] NOT NULL,
    reason text NOT NULL,
    salvaged_time timestamptz NOT NULL DEFAULT now(),
    restored_time timestamptz,
    CONSTRAINT salvaged_records_are_numbered PRIMARY KEY (salvaged_id),
    CONSTRAINT a_record_is_salvaged_once UNIQUE (partition, epoch, sequence, incarnation),
    CONSTRAINT a_salvaged_record_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions
);
COMMENT ON COLUMN ledger.salvaged.incarnation IS 'The primary in which it stood.';
COMMENT ON COLUMN ledger.salvaged.fields IS 'The record as it stood in the stream: names and values in turn.';
CREATE INDEX records_to_restore ON ledger.salvaged (salvaged_id) WHERE restored_time IS NULL;

GRANT SELECT ON ledger.salvaged TO stakehold_reader, stakehold_writer;
GRANT INSERT ON ledger.salvaged TO stakehold_writer;
GRANT UPDATE (restored_time) ON ledger.salvaged TO stakehold_writer;
