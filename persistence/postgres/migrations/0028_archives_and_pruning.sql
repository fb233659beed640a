-- What was archived, month by month; and what is taken away after a time, because the ledger has it too.

CREATE TABLE ledger.archives (
    partition integer NOT NULL,
    first_position bigint NOT NULL,
    end_position bigint NOT NULL,
    month date NOT NULL,
    file text NOT NULL,
    manifest_digest bytea NOT NULL,
    last_hash bytea NOT NULL,
    key_id text NOT NULL,
    archived_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT an_archive_begins_where_one_ends PRIMARY KEY (partition, first_position),
    CONSTRAINT a_month_of_a_partition_is_archived_once UNIQUE (partition, month),
    CONSTRAINT an_archive_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions,
    CONSTRAINT an_archive_has_entries CHECK (first_position >= 0 AND first_position < end_position),
    CONSTRAINT an_archive_is_of_a_whole_month CHECK (month = date_trunc('month', month)),
    CONSTRAINT archives_have_digests CHECK (octet_length(manifest_digest) = 32 AND octet_length(last_hash) = 32)
);
COMMENT ON TABLE ledger.archives IS
    'Months that were exported, signed and verified. Append-only. What was archived stays in the ledger, too.';
COMMENT ON COLUMN ledger.archives.end_position IS 'The first place that is not in it.';
COMMENT ON COLUMN ledger.archives.manifest_digest IS 'SHA-256 of the manifest''s file, as it was written.';
CREATE TRIGGER archives_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.archives
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_to_rewrite();
GRANT SELECT, INSERT ON ledger.archives TO stakehold_writer;
GRANT SELECT ON ledger.archives TO stakehold_reader;

ALTER TABLE inbox.submissions ADD COLUMN pruned_time timestamptz;
COMMENT ON COLUMN inbox.submissions.pruned_time IS
    'When the contents of its applied and refused commands were taken away; what became of them stays.';
CREATE INDEX submissions_to_prune ON inbox.submissions (finished_time)
    WHERE pruned_time IS NULL OR pruned_time < finished_time;
GRANT UPDATE (pruned_time) ON inbox.submissions TO stakehold_eraser;
