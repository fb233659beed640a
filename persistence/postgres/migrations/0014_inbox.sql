-- The inbox: commands that were accepted to be applied later.
--
-- A submission and its commands are written in one transaction, so that what can be seen is whole. A command's row
-- says what became of it; what it moved is in the ledger, under its transaction id.

CREATE SCHEMA inbox;

CREATE SEQUENCE inbox.submission_numbers;
COMMENT ON SEQUENCE inbox.submission_numbers IS
    'Taken before the commands are written: of two submissions, one that began after the other was accepted is later.';

CREATE TABLE inbox.submissions (
    submission_number bigint NOT NULL,
    source_id text NOT NULL,
    submission_id text NOT NULL,
    digest bytea NOT NULL,
    command_count integer NOT NULL,
    accepted_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    redrives integer NOT NULL DEFAULT 0,
    finished_time timestamptz,
    CONSTRAINT submissions_are_numbered PRIMARY KEY (submission_number),
    CONSTRAINT a_submission_id_is_used_once UNIQUE (source_id, submission_id),
    CONSTRAINT a_submission_id_is_1_to_128_printable_characters CHECK (submission_id ~ '^[ -~]{1,128}$'),
    CONSTRAINT a_digest_has_32_bytes CHECK (octet_length(digest) = 32),
    CONSTRAINT a_submission_has_commands CHECK (command_count > 0)
);
COMMENT ON COLUMN inbox.submissions.redrives IS 'Grows with each redrive: workers look through its commands again.';
COMMENT ON COLUMN inbox.submissions.finished_time IS 'When none of its commands was found waiting any more.';
CREATE INDEX unfinished_submissions ON inbox.submissions (submission_number) WHERE finished_time IS NULL;
CREATE INDEX submissions_of_a_source ON inbox.submissions (source_id, submission_number);

CREATE TABLE inbox.commands (
    submission_number bigint NOT NULL,
    command_index integer NOT NULL,
    partition integer NOT NULL,
    player_id text NOT NULL,
    transaction_id text NOT NULL,
    command bytea NOT NULL,
    state text NOT NULL DEFAULT 'waiting',
    attempts integer NOT NULL DEFAULT 0,
    first_attempt_time timestamptz,
    last_attempt_time timestamptz,
    due_time timestamptz,
    result bytea,
    CONSTRAINT commands_are_in_order PRIMARY KEY (submission_number, command_index),
    CONSTRAINT a_command_is_in_a_known_state CHECK (state IN ('waiting', 'applied', 'refused', 'dead')),
    CONSTRAINT a_decided_command_has_a_result CHECK (state = 'waiting' OR (result IS NOT NULL AND due_time IS NULL)),
    CONSTRAINT an_attempt_has_a_time CHECK ((attempts = 0) = (last_attempt_time IS NULL))
);
COMMENT ON COLUMN inbox.commands.command IS 'A Command of the API, serialised.';
COMMENT ON COLUMN inbox.commands.result IS 'The last answer: a CommandResult of the API, serialised.';
COMMENT ON COLUMN inbox.commands.due_time IS 'When it is tried again, where it was tried before.';
CREATE INDEX waiting_commands ON inbox.commands (submission_number, command_index, partition)
    WHERE state = 'waiting';
CREATE INDEX waiting_commands_of_a_player ON inbox.commands (player_id, submission_number, command_index)
    WHERE state = 'waiting';
CREATE INDEX dead_letters ON inbox.commands (submission_number, command_index) WHERE state = 'dead';

CREATE TABLE inbox.partitions (
    partition integer NOT NULL,
    lease bigint NOT NULL DEFAULT 0,
    leased_by text,
    leased_until timestamptz,
    CONSTRAINT a_partition_of_the_inbox_is_one_row PRIMARY KEY (partition),
    CONSTRAINT a_lease_of_the_inbox_has_an_end CHECK ((leased_by IS NULL) = (leased_until IS NULL))
);
COMMENT ON TABLE inbox.partitions IS
    'Who applies the commands of a partition''s players. The lease grows with each worker that gets it.';

CREATE TABLE inbox.workers (
    worker_id text NOT NULL,
    seen_time timestamptz NOT NULL,
    CONSTRAINT a_worker_is_one_row PRIMARY KEY (worker_id)
);

REVOKE ALL ON SCHEMA inbox FROM PUBLIC;
GRANT USAGE ON SCHEMA inbox TO stakehold_reader, stakehold_inbox;
GRANT SELECT ON ALL TABLES IN SCHEMA inbox TO stakehold_reader, stakehold_inbox;
GRANT USAGE ON SEQUENCE inbox.submission_numbers TO stakehold_inbox;
GRANT INSERT ON inbox.submissions, inbox.commands, inbox.partitions, inbox.workers TO stakehold_inbox;
GRANT UPDATE (redrives, finished_time) ON inbox.submissions TO stakehold_inbox;
GRANT UPDATE (state, attempts, first_attempt_time, last_attempt_time, due_time, result) ON inbox.commands
    TO stakehold_inbox;
GRANT UPDATE (lease, leased_by, leased_until) ON inbox.partitions TO stakehold_inbox;
GRANT UPDATE (seen_time), DELETE ON inbox.workers TO stakehold_inbox;
GRANT USAGE ON SCHEMA ledger TO stakehold_inbox;
GRANT SELECT ON ledger.settings TO stakehold_inbox;
