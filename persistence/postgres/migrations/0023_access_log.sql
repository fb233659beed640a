-- Who was denied what, and who did what by way of administration. Append-only, and each record's hash is made of the one
-- before: what is changed, taken out or put in between does not fit any more.
--
-- Records are numbered and chained by a trigger, under the lock of the log's one head: so there are no gaps, and no
-- program can write a hash of its own. A record is one statement, so the lock is held for no longer than its commit.

CREATE TABLE ledger.access_log (
    position bigint NOT NULL,
    record_id uuid NOT NULL,
    kind text NOT NULL,
    call_id text NOT NULL DEFAULT '',
    caller text NOT NULL,
    identified_by text NOT NULL,
    claimed text NOT NULL,
    peer text NOT NULL,
    method text NOT NULL,
    verb text NOT NULL,
    source_id text NOT NULL,
    player_id text NOT NULL,
    transaction_id text NOT NULL,
    details jsonb NOT NULL,
    why text NOT NULL,
    code text NOT NULL,
    reason text NOT NULL,
    count bigint NOT NULL,
    first_time timestamptz NOT NULL,
    last_time timestamptz NOT NULL,
    server_id text NOT NULL,
    recorded_time timestamptz NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT access_records_are_numbered PRIMARY KEY (position),
    CONSTRAINT an_access_record_is_written_once UNIQUE (record_id),
    CONSTRAINT an_access_record_is_of_a_kind CHECK (kind IN ('begun', 'ended', 'denied', 'unlisted')),
    CONSTRAINT an_administrative_call_has_an_id CHECK ((call_id <> '') = (kind IN ('begun', 'ended'))),
    CONSTRAINT what_ended_has_a_code CHECK ((code = '') = (kind = 'begun')),
    CONSTRAINT an_access_record_is_of_calls CHECK (count > 0 AND first_time <= last_time)
);
COMMENT ON TABLE ledger.access_log IS 'Every denied call and every administrative call. docs/security.md says what is in it.';
COMMENT ON COLUMN ledger.access_log.record_id IS 'The writer''s: so that it can try again without writing twice.';
COMMENT ON COLUMN ledger.access_log.hash IS 'SHA-256 of the hash before and of all other columns: ledger.access_hash.';
CREATE INDEX access_records_of_a_caller ON ledger.access_log (caller, position);
CREATE INDEX access_records_about_a_player ON ledger.access_log (player_id, position) WHERE player_id <> '';
CREATE INDEX access_records_of_a_call ON ledger.access_log (call_id) WHERE call_id <> '';

CREATE TABLE ledger.access_head (
    is_head boolean NOT NULL DEFAULT true,
    position bigint NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT the_access_log_has_one_head PRIMARY KEY (is_head),
    CONSTRAINT there_is_only_one_head CHECK (is_head)
) WITH (fillfactor = 50);
COMMENT ON TABLE ledger.access_head IS 'The newest record''s place and hash: who cuts the log''s end off leaves it behind.';
INSERT INTO ledger.access_head (position, hash) VALUES (0, '\x');

CREATE FUNCTION ledger.access_hash(previous bytea, record ledger.access_log) RETURNS bytea
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
    SELECT sha256(previous || convert_to(jsonb_strip_nulls(to_jsonb(record) - 'hash')::text, 'UTF8'))
$$;
COMMENT ON FUNCTION ledger.access_hash IS
    'All columns but the hash, as the text of a jsonb object, times in UTC; without nulls, so that columns may be added.';

CREATE FUNCTION ledger.chain_access_record() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    head ledger.access_head;
BEGIN
    SELECT * INTO STRICT head FROM ledger.access_head FOR NO KEY UPDATE;
    NEW.position := head.position + 1;
    NEW.recorded_time := clock_timestamp();
    NEW.hash := ledger.access_hash(head.hash, NEW);
    UPDATE ledger.access_head SET position = NEW.position, hash = NEW.hash;
    RETURN NEW;
END
$$;

CREATE TRIGGER access_records_are_chained BEFORE INSERT ON ledger.access_log
    FOR EACH ROW EXECUTE FUNCTION ledger.chain_access_record();
CREATE TRIGGER the_access_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.access_log
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_to_rewrite();

REVOKE ALL ON FUNCTION ledger.access_hash, ledger.chain_access_record FROM PUBLIC;
GRANT USAGE ON SCHEMA ledger TO stakehold_recorder;
GRANT SELECT, INSERT ON ledger.access_log TO stakehold_recorder;
GRANT SELECT ON ledger.access_log, ledger.access_head TO stakehold_reader;
GRANT EXECUTE ON FUNCTION ledger.access_hash TO stakehold_reader;

-- On whose authority a submission is applied: what a caller may do is asked when it submits. A table of its own, as
-- servers of before read all columns that a submission has, and fail where these change while they serve.
CREATE TABLE inbox.origins (
    submission_number bigint NOT NULL,
    submitted_by text NOT NULL,
    CONSTRAINT a_submission_has_one_origin PRIMARY KEY (submission_number),
    CONSTRAINT an_origin_is_of_a_submission FOREIGN KEY (submission_number) REFERENCES inbox.submissions
);
COMMENT ON TABLE inbox.origins IS 'Where submissions came from. What is from before callers had names has none.';
GRANT INSERT ON inbox.origins TO stakehold_inbox;
GRANT SELECT ON inbox.origins TO stakehold_inbox, stakehold_reader;
