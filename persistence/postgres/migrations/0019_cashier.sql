-- The cashier: deposits, withdrawals and corrections, each a case with all that was said about it.
--
-- A case is told what happens by messages. What moves money is on record here before the wallet is asked: the state
-- then is one of something under way (crediting, paying …), and whoever finds it goes on, under transaction ids that
-- follow from the case.

CREATE SCHEMA cashier;

CREATE TABLE cashier.cases (
    case_number bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL,
    source_id text NOT NULL,
    case_id text NOT NULL,
    player_id text NOT NULL,
    partition integer NOT NULL,
    currency text NOT NULL,
    amount numeric(38, 0) NOT NULL,
    is_debit boolean NOT NULL,
    state text NOT NULL,
    accepted text[] NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    needs_second_approval boolean NOT NULL DEFAULT false,
    opened_by text NOT NULL,
    first_approver text NOT NULL DEFAULT '',
    second_approver text NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT '',
    ending_reason text NOT NULL DEFAULT '',
    corrected_entry_id text NOT NULL DEFAULT '',
    provider text NOT NULL DEFAULT '',
    provider_reference text NOT NULL DEFAULT '',
    chain text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT '',
    tx_hash text NOT NULL DEFAULT '',
    refusal text NOT NULL DEFAULT '',
    opening_entry_id text NOT NULL DEFAULT '',
    closing_entry_id text NOT NULL DEFAULT '',
    expires_time timestamptz,
    due_time timestamptz,
    tries integer NOT NULL DEFAULT 0,
    created_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT cases_are_numbered PRIMARY KEY (case_number),
    CONSTRAINT a_case_is_opened_once UNIQUE (kind, source_id, case_id),
    CONSTRAINT a_case_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions,
    CONSTRAINT a_case_is_about_money CHECK (amount > 0),
    CONSTRAINT a_case_is_in_a_state_of_its_kind CHECK (CASE kind
        WHEN 'deposit' THEN state IN (
            'created', 'pending', 'crediting', 'credited', 'failed', 'expired', 'charging_back', 'charged_back', 'refused'
        )
        WHEN 'withdrawal' THEN state IN (
            'holding', 'requested', 'approved_once', 'approved', 'sent', 'paying', 'paid', 'rejecting', 'rejected',
            'failing', 'failed', 'cancelling', 'cancelled', 'refused'
        )
        WHEN 'correction' THEN state IN ('proposed', 'applying', 'applied', 'rejected', 'refused')
        ELSE false
    END),
    CONSTRAINT what_is_under_way_is_due CHECK (
        (due_time IS NOT NULL) = (state IN (
            'crediting', 'charging_back', 'holding', 'paying', 'rejecting', 'failing', 'cancelling', 'applying'
        ))
    ),
    CONSTRAINT what_was_done_is_in_the_ledger CHECK (
        (state NOT IN ('credited', 'applied', 'requested') OR opening_entry_id <> '')
        AND (state NOT IN ('charged_back', 'paid') OR closing_entry_id <> '')
        AND (kind <> 'withdrawal' OR state NOT IN ('rejected', 'failed', 'cancelled') OR closing_entry_id <> '')
    ),
    CONSTRAINT approvers_are_different_persons CHECK (
        first_approver = '' OR (first_approver <> second_approver AND first_approver <> opened_by
            AND second_approver <> opened_by)
    ),
    CONSTRAINT what_needs_two_approvals_has_them CHECK (
        kind <> 'withdrawal' OR state NOT IN ('approved', 'sent', 'paying', 'paid')
        OR (first_approver <> '' AND (second_approver <> '' OR NOT needs_second_approval))
    )
) WITH (fillfactor = 80);
COMMENT ON TABLE cashier.cases IS 'Deposits, withdrawals and corrections as they are now; cashier.messages says how that came.';
COMMENT ON COLUMN cashier.cases.amount IS 'Minor units of the currency.';
COMMENT ON COLUMN cashier.cases.accepted IS 'Messages that were accepted: they may be repeated.';
COMMENT ON COLUMN cashier.cases.attempt IS 'Counts chargebacks that were tried: each has a transaction id of its own.';
COMMENT ON COLUMN cashier.cases.due_time IS 'When a worker goes on with what is under way.';
CREATE INDEX cases_under_way ON cashier.cases (due_time) WHERE due_time IS NOT NULL;
CREATE INDEX deposits_that_expire ON cashier.cases (expires_time) WHERE state = 'created';
CREATE INDEX cases_of_a_player ON cashier.cases (player_id, kind, case_number);
CREATE INDEX cases_in_order ON cashier.cases (kind, case_number);

CREATE TABLE cashier.messages (
    message_number bigint GENERATED ALWAYS AS IDENTITY,
    case_number bigint NOT NULL,
    message text NOT NULL,
    told_by text NOT NULL,
    is_accepted boolean NOT NULL,
    state_before text NOT NULL,
    state_after text NOT NULL,
    details jsonb NOT NULL,
    told_time timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT messages_are_numbered PRIMARY KEY (message_number),
    CONSTRAINT a_message_is_about_a_case FOREIGN KEY (case_number) REFERENCES cashier.cases
);
COMMENT ON TABLE cashier.messages IS
    'All that was said about a case: who, when, what. What was accepted before and is only repeated is not said anew.';
CREATE INDEX messages_of_a_case ON cashier.messages (case_number, message_number);

CREATE FUNCTION cashier.refuse_to_rewrite() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% of cashier.% is refused: what was said stays said', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'messages_are_append_only';
END
$$;
REVOKE ALL ON FUNCTION cashier.refuse_to_rewrite() FROM PUBLIC;
CREATE TRIGGER messages_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON cashier.messages
    FOR EACH STATEMENT EXECUTE FUNCTION cashier.refuse_to_rewrite();
CREATE TRIGGER cases_are_not_removed BEFORE DELETE OR TRUNCATE ON cashier.cases
    FOR EACH STATEMENT EXECUTE FUNCTION cashier.refuse_to_rewrite();

ALTER TABLE ledger.reviews
    DROP CONSTRAINT a_review_is_of_a_known_kind,
    ADD CONSTRAINT a_review_is_of_a_known_kind CHECK (
        kind IN ('bet_swept', 'bet_not_swept', 'cashier_contradiction', 'cashier_stuck')
    );

REVOKE ALL ON SCHEMA cashier FROM PUBLIC;
GRANT USAGE ON SCHEMA cashier TO stakehold_reader, stakehold_cashier;
GRANT SELECT, INSERT ON cashier.cases, cashier.messages TO stakehold_cashier;
GRANT SELECT ON cashier.cases, cashier.messages TO stakehold_reader;
GRANT UPDATE (
    state, accepted, attempt, first_approver, second_approver, ending_reason, provider, provider_reference, chain,
    address, tx_hash, refusal, opening_entry_id, closing_entry_id, due_time, tries, changed_time
) ON cashier.cases TO stakehold_cashier;
GRANT USAGE ON SCHEMA ledger TO stakehold_cashier;
GRANT SELECT, INSERT ON ledger.reviews TO stakehold_cashier;
GRANT SELECT ON ledger.settings TO stakehold_cashier;
