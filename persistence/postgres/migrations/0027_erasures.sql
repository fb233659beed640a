-- Erasing what a player's entries say beside the money: metadata, and nothing else. The hash covers a salted digest of
-- metadata from now on, so that text and salt can go and the chain holds. Who has the right to erase has no other.

ALTER TABLE ledger.entries
    ADD COLUMN metadata_salt bytea,
    ADD COLUMN metadata_digest bytea,
    ADD COLUMN erasure_id bigint,
    ADD COLUMN erased_hash bytea,
    ADD CONSTRAINT a_salt_is_of_a_digest CHECK (metadata_salt IS NULL OR metadata_digest IS NOT NULL) NOT VALID;
COMMENT ON COLUMN ledger.entries.metadata_digest IS
    'SHA-256 of metadata_salt and the metadata''s text: what the hash covers. Null where the hash covers the text.';
COMMENT ON COLUMN ledger.entries.erased_hash IS
    'Of an entry whose hash covers a text that was erased: the hash with the word erased in its place.';

CREATE TABLE ledger.erasures (
    erasure_id bigint GENERATED ALWAYS AS IDENTITY,
    player_id text NOT NULL,
    erased_by text NOT NULL,
    reason text NOT NULL,
    entry_count bigint NOT NULL,
    erased_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT erasures_are_numbered PRIMARY KEY (erasure_id),
    CONSTRAINT somebody_erases_for_a_reason CHECK (erased_by <> '' AND reason <> '')
);
COMMENT ON TABLE ledger.erasures IS 'Who had which player''s personal data erased, when and why. Append-only.';
COMMENT ON COLUMN ledger.erasures.entry_count IS 'Of how many entries the metadata was erased.';
CREATE INDEX erasures_of_a_player ON ledger.erasures (player_id);
CREATE TRIGGER erasures_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.erasures
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_to_rewrite();

CREATE FUNCTION ledger.refuse_all_but_erasing() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    erased constant text[] := '{metadata,metadata_salt,erasure_id,erased_hash}';
    kept constant jsonb := CASE
        WHEN OLD.source_id = 'stakehold' AND OLD.metadata ? 'stakehold.source'
            THEN jsonb_build_object('stakehold.source', OLD.metadata -> 'stakehold.source')
        ELSE '{}'
    END;
BEGIN
    IF OLD.erasure_id IS NULL
        AND NEW.metadata = kept
        AND NEW.metadata_salt IS NULL
        AND (NEW.erased_hash IS NULL) = (OLD.metadata_digest IS NOT NULL)
        AND to_jsonb(NEW) - erased = to_jsonb(OLD) - erased
        AND EXISTS (
            SELECT FROM ledger.erasures
            WHERE erasures.erasure_id = NEW.erasure_id AND erasures.player_id = NEW.player_id
        )
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% of ledger.% is refused: the ledger is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'the_ledger_is_append_only';
END
$$;
REVOKE ALL ON FUNCTION ledger.refuse_all_but_erasing() FROM PUBLIC;

DROP TRIGGER entries_are_append_only ON ledger.entries;
CREATE TRIGGER entries_are_append_only BEFORE DELETE OR TRUNCATE ON ledger.entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_to_rewrite();
CREATE TRIGGER entries_change_only_by_being_erased BEFORE UPDATE ON ledger.entries
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_all_but_erasing();

CREATE FUNCTION cashier.refuse_all_but_erasing() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.details = '{}' AND to_jsonb(NEW) - 'details' = to_jsonb(OLD) - 'details'
        AND current_user = 'stakehold_eraser' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% of cashier.% is refused: what was said stays said', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'messages_are_append_only';
END
$$;
REVOKE ALL ON FUNCTION cashier.refuse_all_but_erasing() FROM PUBLIC;
DROP TRIGGER messages_are_append_only ON cashier.messages;
CREATE TRIGGER messages_are_append_only BEFORE DELETE OR TRUNCATE ON cashier.messages
    FOR EACH STATEMENT EXECUTE FUNCTION cashier.refuse_to_rewrite();
CREATE TRIGGER messages_change_only_by_being_erased BEFORE UPDATE ON cashier.messages
    FOR EACH ROW EXECUTE FUNCTION cashier.refuse_all_but_erasing();

CREATE OR REPLACE FUNCTION ledger.refuse_to_change_a_review() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.note = 'erased' AND to_jsonb(NEW) - 'note' = to_jsonb(OLD) - 'note'
        AND current_user = 'stakehold_eraser' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'review % is resolved, and stays as it is', OLD.review_id
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'a_review_is_resolved_once';
END
$$;

GRANT USAGE ON SCHEMA ledger, inbox, cashier, providers TO stakehold_eraser;
GRANT SELECT ON ALL TABLES IN SCHEMA ledger, inbox, cashier, providers TO stakehold_eraser;
GRANT UPDATE (metadata, metadata_salt, erasure_id, erased_hash) ON ledger.entries TO stakehold_eraser;
GRANT UPDATE (metadata) ON ledger.repairs TO stakehold_eraser;
GRANT UPDATE (fields) ON ledger.salvaged, ledger.quarantine TO stakehold_eraser;
GRANT UPDATE (note) ON ledger.reviews TO stakehold_eraser;
GRANT UPDATE (command) ON inbox.commands TO stakehold_eraser;
GRANT UPDATE (reason, ending_reason, provider_reference, address, tx_hash) ON cashier.cases TO stakehold_eraser;
GRANT UPDATE (details) ON cashier.messages TO stakehold_eraser;
GRANT UPDATE (body, headers, peer, erased_time) ON providers.callbacks TO stakehold_eraser;
GRANT INSERT ON ledger.erasures TO stakehold_eraser;
GRANT SELECT ON ledger.erasures TO stakehold_reader, stakehold_writer;
