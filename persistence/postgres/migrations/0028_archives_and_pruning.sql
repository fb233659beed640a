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

CREATE TABLE inbox.pruned (
    the_only_row boolean NOT NULL DEFAULT true,
    finished_time timestamptz NOT NULL DEFAULT '-infinity',
    submission_number bigint NOT NULL DEFAULT 0,
    CONSTRAINT submissions_are_pruned_in_one_order PRIMARY KEY (the_only_row),
    CONSTRAINT there_is_one_order CHECK (the_only_row)
);
COMMENT ON TABLE inbox.pruned IS
    'Up to where the contents of applied and refused commands were taken away, by when their submissions finished.';
INSERT INTO inbox.pruned DEFAULT VALUES;
CREATE INDEX finished_submissions ON inbox.submissions (finished_time, submission_number)
    WHERE finished_time IS NOT NULL;
GRANT SELECT ON inbox.pruned TO stakehold_reader, stakehold_eraser;
GRANT UPDATE (finished_time, submission_number) ON inbox.pruned TO stakehold_eraser;
