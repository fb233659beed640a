-- What providers have sent: each callback as it came, on record before anything is done about it; and the sessions
-- whose tokens they send along.
--
-- What a callback moved is in the ledger, under its transaction id. Here stands what was said, and what was answered.

CREATE SCHEMA providers;

CREATE TABLE providers.callbacks (
    callback_number bigint GENERATED ALWAYS AS IDENTITY,
    provider_id text NOT NULL,
    method text NOT NULL,
    path text NOT NULL,
    body_digest bytea NOT NULL,
    body bytea,
    headers jsonb,
    peer text,
    key_id text NOT NULL,
    request_id text NOT NULL,
    player_id text NOT NULL,
    transaction_id text NOT NULL,
    received_time timestamptz NOT NULL,
    recorded_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    erased_time timestamptz,
    CONSTRAINT callbacks_are_numbered PRIMARY KEY (callback_number),
    CONSTRAINT the_same_callback_is_recorded_once UNIQUE (provider_id, path, body_digest, method),
    CONSTRAINT a_body_digest_has_32_bytes CHECK (octet_length(body_digest) = 32),
    CONSTRAINT what_came_is_there_until_it_is_erased CHECK (
        (erased_time IS NOT NULL) = (body IS NULL)
        AND (body IS NULL) = (headers IS NULL)
        AND (body IS NULL) = (peer IS NULL)
    )
);
COMMENT ON TABLE providers.callbacks IS 'Callbacks whose signature was good, as they came, written before they are acted upon.';
COMMENT ON COLUMN providers.callbacks.body_digest IS 'SHA-256 of the body as it came; it stays when the body is erased.';
COMMENT ON COLUMN providers.callbacks.headers IS 'Those that say something and are no secrets.';
COMMENT ON COLUMN providers.callbacks.key_id IS 'Which of the provider''s keys has signed it.';
COMMENT ON COLUMN providers.callbacks.player_id IS 'As the body says; empty where it could not be read.';
COMMENT ON COLUMN providers.callbacks.received_time IS 'When the edge had received it, by the edge''s clock.';
CREATE INDEX callbacks_of_a_player ON providers.callbacks (player_id, callback_number) WHERE player_id <> '';
CREATE INDEX callbacks_of_a_transaction ON providers.callbacks (transaction_id, callback_number)
    WHERE transaction_id <> '';
CREATE INDEX callbacks_that_are_not_erased ON providers.callbacks (recorded_time) WHERE erased_time IS NULL;

CREATE TABLE providers.callback_duplicates (
    callback_number bigint NOT NULL,
    times bigint NOT NULL,
    last_time timestamptz NOT NULL,
    CONSTRAINT a_callback_s_duplicates_are_counted_once PRIMARY KEY (callback_number),
    CONSTRAINT duplicates_are_of_a_callback FOREIGN KEY (callback_number) REFERENCES providers.callbacks,
    CONSTRAINT there_is_at_least_one_duplicate CHECK (times > 0)
);
COMMENT ON TABLE providers.callback_duplicates IS 'How often the very same callback came again.';

CREATE TABLE providers.callback_answers (
    answer_number bigint GENERATED ALWAYS AS IDENTITY,
    callback_number bigint NOT NULL,
    outcome text NOT NULL,
    status_code integer NOT NULL,
    body_digest bytea NOT NULL,
    answered_time timestamptz NOT NULL,
    CONSTRAINT answers_are_numbered PRIMARY KEY (answer_number),
    CONSTRAINT an_answer_is_to_a_callback FOREIGN KEY (callback_number) REFERENCES providers.callbacks,
    CONSTRAINT an_answer_s_digest_has_32_bytes CHECK (octet_length(body_digest) = 32)
);
COMMENT ON TABLE providers.callback_answers IS
    'What was answered, each time. A callback without an answer was being acted upon when its server died, or its answer '
    'could not be noted: the ledger says what it moved.';
CREATE INDEX answers_to_a_callback ON providers.callback_answers (callback_number, answer_number);

CREATE TABLE providers.sessions (
    token_digest bytea NOT NULL,
    provider_id text NOT NULL,
    player_id text NOT NULL,
    currency_code text NOT NULL,
    game_id text NOT NULL,
    opened_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    expire_time timestamptz NOT NULL,
    closed_time timestamptz,
    CONSTRAINT a_token_is_of_one_session PRIMARY KEY (token_digest),
    CONSTRAINT a_token_s_digest_has_32_bytes CHECK (octet_length(token_digest) = 32)
);
COMMENT ON COLUMN providers.sessions.token_digest IS 'SHA-256 of the token, which itself is kept nowhere.';
CREATE INDEX sessions_of_a_player ON providers.sessions (player_id, opened_time);

CREATE FUNCTION providers.refuse_to_rewrite() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% of providers.% is refused: what was said stays said', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'callbacks_are_append_only';
END
$$;
REVOKE ALL ON FUNCTION providers.refuse_to_rewrite() FROM PUBLIC;

-- A callback's contents may be erased, and nothing else of it changes.
CREATE FUNCTION providers.refuse_all_but_erasing() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    erased providers.callbacks := OLD;
BEGIN
    erased.body := NULL;
    erased.headers := NULL;
    erased.peer := NULL;
    erased.erased_time := NEW.erased_time;
    IF NEW.erased_time IS NULL OR OLD.erased_time IS NOT NULL OR NEW IS DISTINCT FROM erased THEN
        RAISE EXCEPTION 'callback % can only be erased', OLD.callback_number
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'callbacks_are_append_only';
    END IF;
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION providers.refuse_all_but_erasing() FROM PUBLIC;

CREATE TRIGGER callbacks_are_append_only BEFORE UPDATE ON providers.callbacks
    FOR EACH ROW EXECUTE FUNCTION providers.refuse_all_but_erasing();
CREATE TRIGGER callbacks_are_not_removed BEFORE DELETE OR TRUNCATE ON providers.callbacks
    FOR EACH STATEMENT EXECUTE FUNCTION providers.refuse_to_rewrite();
CREATE TRIGGER answers_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON providers.callback_answers
    FOR EACH STATEMENT EXECUTE FUNCTION providers.refuse_to_rewrite();

REVOKE ALL ON SCHEMA providers FROM PUBLIC;
GRANT USAGE ON SCHEMA providers TO stakehold_reader, stakehold_callbacks;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA providers TO stakehold_callbacks;
GRANT SELECT (
    callback_number, provider_id, method, path, body_digest, key_id, request_id, player_id, transaction_id, received_time,
    recorded_time, erased_time
) ON providers.callbacks TO stakehold_reader;
GRANT SELECT ON providers.callback_duplicates, providers.callback_answers TO stakehold_reader;
GRANT UPDATE (body, headers, peer, erased_time) ON providers.callbacks TO stakehold_callbacks;
GRANT UPDATE (times, last_time) ON providers.callback_duplicates TO stakehold_callbacks;
GRANT UPDATE (closed_time) ON providers.sessions TO stakehold_callbacks;
