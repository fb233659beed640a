CREATE SCHEMA cashier;

CREATE SCHEMA fx;

CREATE SCHEMA inbox;

CREATE SCHEMA ledger;

CREATE SCHEMA providers;

CREATE SCHEMA registry;

CREATE FUNCTION cashier.refuse_all_but_erasing() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
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

CREATE FUNCTION cashier.refuse_to_rewrite() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RAISE EXCEPTION '% of cashier.% is refused: what was said stays said', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'messages_are_append_only';
END
$$;

CREATE TABLE fx.rate_decisions (
    rate_id bigint NOT NULL,
    decision text NOT NULL,
    decided_by text NOT NULL,
    decided_time timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    reason text NOT NULL,
    CONSTRAINT a_decision_confirms_or_rejects CHECK ((decision = ANY (ARRAY['confirmed'::text, 'rejected'::text]))),
    CONSTRAINT somebody_decides CHECK ((decided_by <> ''::text))
);

CREATE TABLE fx.rates (
    rate_id bigint NOT NULL,
    source text NOT NULL,
    base text NOT NULL,
    quote text NOT NULL,
    mid numeric NOT NULL,
    published_time timestamp with time zone NOT NULL,
    received_time timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    state text NOT NULL,
    pushed_by text NOT NULL,
    reason text NOT NULL,
    CONSTRAINT a_held_rate_says_why CHECK (((state <> 'held'::text) OR (reason <> ''::text))),
    CONSTRAINT a_rate_has_at_most_36_significant_digits CHECK ((length(ltrim(replace((trim_scale(mid))::text, '.'::text, ''::text), '0'::text)) <= 36)),
    CONSTRAINT a_rate_is_a_positive_number CHECK (((mid > (0)::numeric) AND (mid < 'Infinity'::numeric))),
    CONSTRAINT a_rate_is_not_of_the_future CHECK ((published_time <= (received_time + '00:01:00'::interval))),
    CONSTRAINT a_rate_is_received_as_accepted_or_held CHECK ((state = ANY (ARRAY['accepted'::text, 'held'::text])))
);

COMMENT ON COLUMN fx.rates.mid IS 'Units of quote for one unit of base, exact.';

COMMENT ON COLUMN fx.rates.received_time IS 'Taken while the pair is locked: of one pair, what was received earlier was committed earlier.';

COMMENT ON COLUMN fx.rates.state IS 'What was found when it was received. What it is now is in fx.judged_rates.';

COMMENT ON COLUMN fx.rates.pushed_by IS 'Who pushed it by hand; empty for a feed.';

CREATE VIEW fx.judged_rates AS
 SELECT rates.rate_id,
    rates.source,
    rates.base,
    rates.quote,
    rates.mid,
    rates.published_time,
    rates.received_time,
    rates.state,
    rates.pushed_by,
    rates.reason,
        CASE rate_decisions.decision
            WHEN 'confirmed'::text THEN 'accepted'::text
            WHEN 'rejected'::text THEN 'rejected'::text
            ELSE rates.state
        END AS state_now,
    rate_decisions.decided_by,
    rate_decisions.decided_time,
    rate_decisions.reason AS decision_reason
   FROM (fx.rates
     LEFT JOIN fx.rate_decisions USING (rate_id));

CREATE FUNCTION fx.rate_at(of_base text, of_quote text, at_time timestamp with time zone, known_time timestamp with time zone) RETURNS SETOF fx.judged_rates
    LANGUAGE sql STABLE
    AS $$
    WITH accepted AS (
        SELECT * FROM fx.judged_rates
        WHERE base = of_base AND quote = of_quote AND state = 'accepted'
            AND published_time <= at_time AND received_time <= known_time
        ORDER BY published_time DESC, rate_id DESC
        LIMIT 1
    )
    SELECT * FROM accepted
    UNION ALL (
        SELECT * FROM fx.judged_rates
        WHERE base = of_base AND quote = of_quote AND state = 'held' AND state_now = 'accepted'
            AND published_time <= at_time AND decided_time <= known_time
            AND (published_time, rate_id) > (
                coalesce((SELECT published_time FROM accepted), '-infinity'),
                coalesce((SELECT rate_id FROM accepted), 0)
            )
        ORDER BY published_time DESC, rate_id DESC
        LIMIT 1
    )
    ORDER BY published_time DESC, rate_id DESC
    LIMIT 1
$$;

COMMENT ON FUNCTION fx.rate_at(of_base text, of_quote text, at_time timestamp with time zone, known_time timestamp with time zone) IS 'The rate that a pair had at one time, as was known at another: the newest that was accepted or confirmed.';

CREATE FUNCTION fx.refuse_to_rewrite() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RAISE EXCEPTION '% of fx.% is refused: rates are append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'rates_are_append_only';
END
$$;

CREATE FUNCTION fx.require_a_held_rate() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    PERFORM FROM fx.rates WHERE rate_id = NEW.rate_id AND state = 'held';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'rate % is not held: there is nothing to decide', NEW.rate_id
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'only_held_rates_are_decided';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION fx.waiting_rates(of_base text, of_quote text) RETURNS SETOF fx.judged_rates
    LANGUAGE sql STABLE
    AS $$
    SELECT held.*
    FROM fx.judged_rates AS held
    LEFT JOIN fx.rate_at(of_base, of_quote, 'infinity', 'infinity') AS used ON true
    WHERE held.base = of_base AND held.quote = of_quote AND held.state = 'held' AND held.state_now = 'held'
        AND (held.published_time, held.rate_id) >
            (coalesce(used.published_time, '-infinity'), coalesce(used.rate_id, 0))
$$;

COMMENT ON FUNCTION fx.waiting_rates(of_base text, of_quote text) IS 'A pair''s rates that wait for a decision: held, and newer than the one that is used.';

CREATE TABLE ledger.access_log (
    "position" bigint NOT NULL,
    record_id uuid NOT NULL,
    kind text NOT NULL,
    call_id text DEFAULT ''::text NOT NULL,
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
    first_time timestamp with time zone NOT NULL,
    last_time timestamp with time zone NOT NULL,
    server_id text NOT NULL,
    recorded_time timestamp with time zone NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT an_access_record_is_of_a_kind CHECK ((kind = ANY (ARRAY['begun'::text, 'ended'::text, 'denied'::text, 'unlisted'::text]))),
    CONSTRAINT an_access_record_is_of_calls CHECK (((count > 0) AND (first_time <= last_time))),
    CONSTRAINT an_administrative_call_has_an_id CHECK (((call_id <> ''::text) = (kind = ANY (ARRAY['begun'::text, 'ended'::text])))),
    CONSTRAINT what_ended_has_a_code CHECK (((code = ''::text) = (kind = 'begun'::text)))
);

COMMENT ON TABLE ledger.access_log IS 'Every denied call and every administrative call. docs/security.md says what is in it.';

COMMENT ON COLUMN ledger.access_log.record_id IS 'The writer''s: so that it can try again without writing twice.';

COMMENT ON COLUMN ledger.access_log.hash IS 'SHA-256 of the hash before and of all other columns: ledger.access_hash.';

CREATE FUNCTION ledger.access_hash(previous bytea, record ledger.access_log) RETURNS bytea
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    AS $$
    SELECT sha256(previous || convert_to(jsonb_strip_nulls(to_jsonb(record) - 'hash')::text, 'UTF8'))
$$;

COMMENT ON FUNCTION ledger.access_hash(previous bytea, record ledger.access_log) IS 'All columns but the hash, as the text of a jsonb object, times in UTC; without nulls, so that columns may be added.';

CREATE FUNCTION ledger.add_postings_to_balances() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    asked bigint;
    added bigint;
BEGIN
    SELECT count(*) INTO asked FROM (SELECT DISTINCT account_id, currency, partition FROM inserted) AS touched;
    INSERT INTO ledger.balances (account_id, balance)
    SELECT accounts.account_id, change.amount
    FROM (
        SELECT account_id, currency, partition, sum(amount) AS amount
        FROM inserted
        GROUP BY account_id, currency, partition
    ) AS change
    JOIN ledger.accounts USING (account_id, currency, partition)
    ORDER BY accounts.account_id
    ON CONFLICT (account_id) DO UPDATE SET balance = balances.balance + excluded.balance;
    GET DIAGNOSTICS added = ROW_COUNT;
    IF added <> asked THEN
        RAISE EXCEPTION '% of % accounts do not exist, or have another currency or partition than their postings',
            asked - added, asked
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'a_posting_has_its_accounts_currency_and_partition';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION ledger.advance_wallets() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    gap record;
BEGIN
    SELECT change.*, coalesce(wallets.version, 0) AS version
    INTO gap
    FROM (
        SELECT player_id, currency, min(version) AS first, max(version) AS last, count(*) AS steps
        FROM inserted
        WHERE version IS NOT NULL
        GROUP BY player_id, currency
    ) AS change
    LEFT JOIN ledger.wallets USING (player_id, currency)
    WHERE change.first <> coalesce(wallets.version, 0) + 1 OR change.last - change.first + 1 <> change.steps
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the % wallet of player % is at version %, and % entries of versions % to % do not follow',
            gap.currency, gap.player_id, gap.version, gap.steps, gap.first, gap.last
            USING ERRCODE = 'check_violation', CONSTRAINT = 'versions_of_a_wallet_are_contiguous';
    END IF;

    INSERT INTO ledger.wallets (
        player_id, currency, partition, version, status, credit_line, opened_time, last_booked_time
    )
    SELECT DISTINCT ON (player_id, currency)
        player_id, currency, partition, version, wallet_status, credit_line,
        first_value(booked_time) OVER (PARTITION BY player_id, currency ORDER BY version), booked_time
    FROM inserted
    WHERE version IS NOT NULL
    ORDER BY player_id, currency, version DESC
    ON CONFLICT (player_id, currency) DO UPDATE SET
        version = excluded.version,
        status = excluded.status,
        credit_line = excluded.credit_line,
        last_booked_time = excluded.last_booked_time;
    RETURN NULL;
END
$$;

CREATE FUNCTION ledger.chain_access_record() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
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

CREATE FUNCTION ledger.refuse_a_cursor_that_moves_back() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
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

CREATE FUNCTION ledger.refuse_a_publication_that_moves_back() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    IF NEW.position < OLD.position OR NEW.lease < OLD.lease THEN
        RAISE EXCEPTION 'the publication of partition % to % cannot move back from % to %',
            OLD.partition, OLD.sink, OLD.position, NEW.position
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'a_publication_only_moves_forward';
    END IF;
    RETURN NEW;
END
$$;

CREATE FUNCTION ledger.refuse_all_but_erasing() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
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

CREATE FUNCTION ledger.refuse_to_change_a_review() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
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

CREATE FUNCTION ledger.refuse_to_rewrite() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RAISE EXCEPTION '% of ledger.% is refused: the ledger is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'the_ledger_is_append_only';
END
$$;

CREATE FUNCTION ledger.require_postings_to_have_entries() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
DECLARE
    orphan record;
BEGIN
    SELECT partition, epoch, sequence, entry_index
    INTO orphan
    FROM (SELECT DISTINCT partition, epoch, sequence, entry_index FROM inserted) AS posted
    LEFT JOIN ledger.entries USING (partition, epoch, sequence, entry_index)
    WHERE entries.hash IS NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'there is no entry %-%-%-% for its postings',
            orphan.partition, orphan.epoch, orphan.sequence, orphan.entry_index
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'a_posting_is_of_an_entry';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION ledger.require_postings_to_sum_to_zero() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    unbalanced record;
BEGIN
    SELECT partition, epoch, sequence, entry_index, currency, sum(amount) AS excess
    INTO unbalanced
    FROM inserted
    GROUP BY partition, epoch, sequence, entry_index, currency
    HAVING sum(amount) <> 0
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the postings of entry %-%-%-% sum to % %, not to zero',
            unbalanced.partition, unbalanced.epoch, unbalanced.sequence, unbalanced.entry_index,
            unbalanced.excess, unbalanced.currency
            USING ERRCODE = 'check_violation', CONSTRAINT = 'postings_of_an_entry_sum_to_zero';
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION providers.refuse_all_but_erasing() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
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

CREATE FUNCTION providers.refuse_to_rewrite() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RAISE EXCEPTION '% of providers.% is refused: what was said stays said', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'callbacks_are_append_only';
END
$$;

CREATE FUNCTION registry.refuse_to_change_a_denomination() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RAISE EXCEPTION '% cannot change: its amounts would', OLD.denomination_code
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'what_amounts_mean_never_changes';
END
$$;

CREATE FUNCTION registry.refuse_to_change_what_amounts_mean() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
BEGIN
    RAISE EXCEPTION 'the code, scale and kind of % cannot change: its amounts would', OLD.currency_code
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'what_amounts_mean_never_changes';
END
$$;

CREATE FUNCTION registry.require_one_meaning_of_a_code() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
DECLARE
    code text := coalesce(to_jsonb(NEW) ->> 'denomination_code', to_jsonb(NEW) ->> 'currency_code');
    is_taken boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('stakehold codes', 0));
    IF TG_TABLE_NAME = 'currencies' THEN
        is_taken := EXISTS (SELECT FROM registry.denominations WHERE denomination_code = code);
    ELSE
        is_taken := EXISTS (SELECT FROM registry.currencies WHERE currency_code = code);
    END IF;
    IF is_taken THEN
        RAISE EXCEPTION '% cannot be both a currency and a denomination', code
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'a_code_is_a_currency_or_a_denomination';
    END IF;
    RETURN NEW;
END
$$;

CREATE TABLE cashier.cases (
    case_number bigint NOT NULL,
    kind text NOT NULL,
    source_id text NOT NULL,
    case_id text NOT NULL,
    player_id text NOT NULL,
    partition integer NOT NULL,
    currency text NOT NULL,
    amount numeric(38,0) NOT NULL,
    is_debit boolean NOT NULL,
    state text NOT NULL,
    accepted text[] NOT NULL,
    attempt integer DEFAULT 0 NOT NULL,
    needs_second_approval boolean DEFAULT false NOT NULL,
    opened_by text NOT NULL,
    first_approver text DEFAULT ''::text NOT NULL,
    second_approver text DEFAULT ''::text NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    ending_reason text DEFAULT ''::text NOT NULL,
    corrected_entry_id text DEFAULT ''::text NOT NULL,
    provider text DEFAULT ''::text NOT NULL,
    provider_reference text DEFAULT ''::text NOT NULL,
    chain text DEFAULT ''::text NOT NULL,
    address text DEFAULT ''::text NOT NULL,
    tx_hash text DEFAULT ''::text NOT NULL,
    refusal text DEFAULT ''::text NOT NULL,
    opening_entry_id text DEFAULT ''::text NOT NULL,
    closing_entry_id text DEFAULT ''::text NOT NULL,
    expires_time timestamp with time zone,
    due_time timestamp with time zone,
    tries integer DEFAULT 0 NOT NULL,
    created_time timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    changed_time timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT a_case_is_about_money CHECK ((amount > (0)::numeric)),
    CONSTRAINT a_case_is_in_a_state_of_its_kind CHECK (
CASE kind
    WHEN 'deposit'::text THEN (state = ANY (ARRAY['created'::text, 'pending'::text, 'crediting'::text, 'credited'::text, 'failed'::text, 'expired'::text, 'charging_back'::text, 'charged_back'::text, 'refused'::text]))
    WHEN 'withdrawal'::text THEN (state = ANY (ARRAY['holding'::text, 'requested'::text, 'approved_once'::text, 'approved'::text, 'sent'::text, 'paying'::text, 'paid'::text, 'rejecting'::text, 'rejected'::text, 'failing'::text, 'failed'::text, 'cancelling'::text, 'cancelled'::text, 'giving_up'::text, 'refused'::text]))
    WHEN 'correction'::text THEN (state = ANY (ARRAY['proposed'::text, 'applying'::text, 'applied'::text, 'rejected'::text, 'giving_up'::text, 'refused'::text]))
    ELSE false
END),
    CONSTRAINT approvers_are_different_persons CHECK (((first_approver = ''::text) OR ((first_approver <> second_approver) AND (first_approver <> opened_by) AND (second_approver <> opened_by)))),
    CONSTRAINT what_is_under_way_is_due CHECK (((due_time IS NOT NULL) = (state = ANY (ARRAY['crediting'::text, 'charging_back'::text, 'holding'::text, 'paying'::text, 'rejecting'::text, 'failing'::text, 'cancelling'::text, 'applying'::text, 'giving_up'::text])))),
    CONSTRAINT what_needs_two_approvals_has_them CHECK (((kind <> 'withdrawal'::text) OR (state <> ALL (ARRAY['approved'::text, 'sent'::text, 'paying'::text, 'paid'::text])) OR ((first_approver <> ''::text) AND ((second_approver <> ''::text) OR (NOT needs_second_approval))))),
    CONSTRAINT what_was_done_is_in_the_ledger CHECK ((((state <> ALL (ARRAY['credited'::text, 'applied'::text, 'requested'::text])) OR (opening_entry_id <> ''::text)) AND ((state <> ALL (ARRAY['charged_back'::text, 'paid'::text])) OR (closing_entry_id <> ''::text)) AND ((kind <> 'withdrawal'::text) OR (state <> ALL (ARRAY['rejected'::text, 'failed'::text, 'cancelled'::text])) OR (closing_entry_id <> ''::text))))
)
WITH (fillfactor='80');

COMMENT ON TABLE cashier.cases IS 'Deposits, withdrawals and corrections as they are now; cashier.messages says how that came.';

COMMENT ON COLUMN cashier.cases.amount IS 'Minor units of the currency.';

COMMENT ON COLUMN cashier.cases.accepted IS 'Messages that were accepted: they may be repeated.';

COMMENT ON COLUMN cashier.cases.attempt IS 'Counts chargebacks that were tried: each has a transaction id of its own.';

COMMENT ON COLUMN cashier.cases.due_time IS 'When a worker goes on with what is under way.';

ALTER TABLE cashier.cases ALTER COLUMN case_number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME cashier.cases_case_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE cashier.messages (
    message_number bigint NOT NULL,
    case_number bigint NOT NULL,
    message text NOT NULL,
    told_by text NOT NULL,
    is_accepted boolean NOT NULL,
    state_before text NOT NULL,
    state_after text NOT NULL,
    details jsonb NOT NULL,
    told_time timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

COMMENT ON TABLE cashier.messages IS 'All that was said about a case: who, when, what. What was accepted before and is only repeated is not said anew.';

ALTER TABLE cashier.messages ALTER COLUMN message_number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME cashier.messages_message_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE fx.pairs (
    base text NOT NULL,
    quote text NOT NULL,
    stale_after_s integer NOT NULL,
    jump_bps integer NOT NULL,
    two_person_bps integer NOT NULL,
    peg numeric,
    peg_band_bps integer NOT NULL,
    created_time timestamp with time zone DEFAULT now() NOT NULL,
    updated_time timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT a_jump_has_a_size CHECK ((jump_bps > 0)),
    CONSTRAINT a_pair_is_of_two_currencies CHECK ((base <> quote)),
    CONSTRAINT a_peg_has_a_band CHECK ((((peg IS NULL) AND (peg_band_bps = 0)) OR ((peg IS NOT NULL) AND (peg_band_bps > 0)))),
    CONSTRAINT a_peg_is_a_positive_number CHECK (((peg > (0)::numeric) AND (peg < 'Infinity'::numeric))),
    CONSTRAINT rates_become_stale CHECK ((stale_after_s > 0)),
    CONSTRAINT what_takes_two_persons_has_a_size CHECK ((two_person_bps >= 0))
);

COMMENT ON COLUMN fx.pairs.peg IS 'What one unit of base should be worth, for a stablecoin.';

CREATE TABLE fx.pivots (
    rank integer NOT NULL,
    currency_code text NOT NULL,
    CONSTRAINT ranks_begin_with_1 CHECK ((rank >= 1))
);

COMMENT ON TABLE fx.pivots IS 'Through which currencies a rate is made where a pair has none, the first that does counts.';

CREATE TABLE fx.quote_keys (
    key_id bigint NOT NULL,
    secret bytea NOT NULL,
    created_time timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT a_quote_key_has_32_bytes CHECK ((octet_length(secret) = 32))
);

COMMENT ON TABLE fx.quote_keys IS 'Secret: for the registrar alone.';

ALTER TABLE fx.quote_keys ALTER COLUMN key_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME fx.quote_keys_key_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE fx.rates ALTER COLUMN rate_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME fx.rates_rate_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE fx.spreads (
    currency text NOT NULL,
    wallet_currency text NOT NULL,
    side text NOT NULL,
    player_group text NOT NULL,
    bps integer NOT NULL,
    updated_time timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT a_spread_is_less_than_everything CHECK (((bps >= 0) AND (bps <= 9900))),
    CONSTRAINT a_spread_is_of_a_known_side CHECK ((side = ANY (ARRAY[''::text, 'paid'::text, 'received'::text])))
);

COMMENT ON TABLE fx.spreads IS 'In ten thousandths of mid. What is empty stands for any.';

CREATE TABLE inbox.commands (
    submission_number bigint NOT NULL,
    command_index integer NOT NULL,
    partition integer NOT NULL,
    player_id text NOT NULL,
    transaction_id text NOT NULL,
    command bytea NOT NULL,
    state text DEFAULT 'waiting'::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    first_attempt_time timestamp with time zone,
    last_attempt_time timestamp with time zone,
    due_time timestamp with time zone,
    result bytea,
    CONSTRAINT a_command_is_in_a_known_state CHECK ((state = ANY (ARRAY['waiting'::text, 'applied'::text, 'refused'::text, 'dead'::text]))),
    CONSTRAINT a_decided_command_has_a_result CHECK (((state = 'waiting'::text) OR ((result IS NOT NULL) AND (due_time IS NULL)))),
    CONSTRAINT an_attempt_has_a_time CHECK (((attempts = 0) = (last_attempt_time IS NULL)))
);

COMMENT ON COLUMN inbox.commands.command IS 'A Command of the API, serialised.';

COMMENT ON COLUMN inbox.commands.due_time IS 'When it is tried again, where it was tried before.';

COMMENT ON COLUMN inbox.commands.result IS 'The last answer: a CommandResult of the API, serialised.';

CREATE TABLE inbox.origins (
    submission_number bigint NOT NULL,
    submitted_by text NOT NULL,
    trace_context text,
    CONSTRAINT a_trace_context_is_a_traceparent CHECK ((trace_context ~ '^[0-9a-f-]{55}$'::text))
);

COMMENT ON TABLE inbox.origins IS 'Where submissions came from. What is from before callers had names has none.';

COMMENT ON COLUMN inbox.origins.trace_context IS 'A W3C traceparent; null: its call was not traced.';

CREATE TABLE inbox.partitions (
    partition integer NOT NULL,
    lease bigint DEFAULT 0 NOT NULL,
    leased_by text,
    leased_until timestamp with time zone,
    CONSTRAINT a_lease_of_the_inbox_has_an_end CHECK (((leased_by IS NULL) = (leased_until IS NULL)))
);

COMMENT ON TABLE inbox.partitions IS 'Who applies the commands of a partition''s players. The lease grows with each worker that gets it.';

CREATE TABLE inbox.pruned (
    the_only_row boolean DEFAULT true NOT NULL,
    finished_time timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    submission_number bigint DEFAULT 0 NOT NULL,
    CONSTRAINT there_is_one_order CHECK (the_only_row)
);

COMMENT ON TABLE inbox.pruned IS 'Up to where the contents of applied and refused commands were taken away, by when their submissions finished.';

CREATE SEQUENCE inbox.submission_numbers
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

COMMENT ON SEQUENCE inbox.submission_numbers IS 'Taken before the commands are written: of two submissions, one that began after the other was accepted is later.';

CREATE TABLE inbox.submissions (
    submission_number bigint NOT NULL,
    source_id text NOT NULL,
    submission_id text NOT NULL,
    digest bytea NOT NULL,
    command_count integer NOT NULL,
    accepted_time timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    redrives integer DEFAULT 0 NOT NULL,
    finished_time timestamp with time zone,
    CONSTRAINT a_digest_has_32_bytes CHECK ((octet_length(digest) = 32)),
    CONSTRAINT a_submission_has_commands CHECK ((command_count > 0)),
    CONSTRAINT a_submission_id_is_1_to_128_printable_characters CHECK ((submission_id ~ '^[ -~]{1,128}$'::text))
);

COMMENT ON COLUMN inbox.submissions.redrives IS 'Grows with each redrive: workers look through its commands again.';

COMMENT ON COLUMN inbox.submissions.finished_time IS 'When none of its commands was found waiting any more.';

CREATE TABLE inbox.workers (
    worker_id text NOT NULL,
    seen_time timestamp with time zone NOT NULL
);

CREATE TABLE ledger.access_head (
    is_head boolean DEFAULT true NOT NULL,
    "position" bigint NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT there_is_only_one_head CHECK (is_head)
)
WITH (fillfactor='50');

COMMENT ON TABLE ledger.access_head IS 'The newest record''s place and hash: who cuts the log''s end off leaves it behind.';

CREATE TABLE ledger.accounts (
    account_id bigint NOT NULL,
    partition integer NOT NULL,
    owner_kind text NOT NULL,
    owner_id text NOT NULL,
    bucket text NOT NULL,
    currency text NOT NULL,
    CONSTRAINT an_owner_is_a_player_a_source_or_the_house CHECK ((owner_kind = ANY (ARRAY['player'::text, 'source'::text, 'house'::text]))),
    CONSTRAINT only_the_house_has_no_id CHECK (((owner_kind = 'house'::text) = (owner_id = ''::text)))
);

COMMENT ON TABLE ledger.accounts IS 'Sources and the house have one account in each partition, so that no row is shared by two drainers.';

ALTER TABLE ledger.accounts ALTER COLUMN account_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ledger.accounts_account_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ledger.archives (
    partition integer NOT NULL,
    first_position bigint NOT NULL,
    end_position bigint NOT NULL,
    month date NOT NULL,
    file text NOT NULL,
    manifest_digest bytea NOT NULL,
    last_hash bytea NOT NULL,
    key_id text NOT NULL,
    archived_time timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT an_archive_has_entries CHECK (((first_position >= 0) AND (first_position < end_position))),
    CONSTRAINT an_archive_is_of_a_whole_month CHECK ((month = date_trunc('month'::text, (month)::timestamp with time zone))),
    CONSTRAINT archives_have_digests CHECK (((octet_length(manifest_digest) = 32) AND (octet_length(last_hash) = 32)))
);

COMMENT ON TABLE ledger.archives IS 'Months that were exported, signed and verified. Append-only. What was archived stays in the ledger, too.';

COMMENT ON COLUMN ledger.archives.end_position IS 'The first place that is not in it.';

COMMENT ON COLUMN ledger.archives.manifest_digest IS 'SHA-256 of the manifest''s file, as it was written.';

CREATE TABLE ledger.balances (
    account_id bigint NOT NULL,
    balance numeric(38,0) NOT NULL
)
WITH (fillfactor='60');

COMMENT ON TABLE ledger.balances IS 'The sum of each account''s postings, kept by a trigger; nobody may write it.';

CREATE TABLE ledger.entries (
    partition integer NOT NULL,
    epoch bigint NOT NULL,
    sequence bigint NOT NULL,
    entry_index smallint NOT NULL,
    chain_position bigint NOT NULL,
    entry_type text NOT NULL,
    operation text,
    player_id text NOT NULL,
    source_id text NOT NULL,
    transaction_id text NOT NULL,
    kind text,
    fingerprint text NOT NULL,
    currency text,
    amount numeric(38,0),
    version bigint,
    cash_change numeric(38,0) NOT NULL,
    bonus_change numeric(38,0) NOT NULL,
    held_change numeric(38,0) NOT NULL,
    receivable_change numeric(38,0) NOT NULL,
    cash_after numeric(38,0),
    bonus_after numeric(38,0),
    held_after numeric(38,0),
    receivable_after numeric(38,0),
    wallet_version bigint,
    wallet_status text,
    credit_line numeric(38,0),
    game_id text,
    round_id text,
    reference_transaction_id text,
    outcome text,
    refusal_reason text,
    related_transaction_id text,
    late boolean NOT NULL,
    closes_round boolean NOT NULL,
    occurred_time timestamp with time zone,
    booked_time timestamp with time zone NOT NULL,
    recorded_time timestamp with time zone DEFAULT now() NOT NULL,
    metadata jsonb NOT NULL,
    previous_hash bytea NOT NULL,
    hash bytea NOT NULL,
    conversion text,
    slip text,
    metadata_salt bytea,
    metadata_digest bytea,
    erasure_id bigint,
    erased_hash bytea,
    CONSTRAINT a_change_of_a_wallet_has_a_version CHECK (((version IS NOT NULL) = (entry_type = ANY (ARRAY['applied'::text, 'wallet_opened'::text, 'status_changed'::text])))),
    CONSTRAINT a_change_of_a_wallet_says_what_it_became CHECK (((version IS NULL) OR ((wallet_version = version) AND (num_nulls(currency, wallet_status, credit_line, cash_after, bonus_after, held_after, receivable_after) = 0)))),
    CONSTRAINT a_refusal_has_a_reason CHECK (((entry_type <> 'refused'::text) OR (refusal_reason IS NOT NULL))),
    CONSTRAINT a_wallet_is_opened_by_its_first_version CHECK (((NOT (version IS DISTINCT FROM 1)) = (entry_type = 'wallet_opened'::text))),
    CONSTRAINT hashes_have_32_bytes CHECK (((octet_length(previous_hash) = 32) AND (octet_length(hash) = 32))),
    CONSTRAINT only_applied_entries_move_money CHECK (((entry_type = 'applied'::text) OR ((cash_change = (0)::numeric) AND (bonus_change = (0)::numeric) AND (held_change = (0)::numeric) AND (receivable_change = (0)::numeric))))
);

COMMENT ON TABLE ledger.entries IS 'Everything that was decided, in the order of each partition''s outbox. Append-only.';

COMMENT ON COLUMN ledger.entries.chain_position IS 'Contiguous from 0 in each partition.';

COMMENT ON COLUMN ledger.entries.kind IS 'Of an applied rollback the kind of its original.';

COMMENT ON COLUMN ledger.entries.booked_time IS 'When the wallet decided it.';

COMMENT ON COLUMN ledger.entries.recorded_time IS 'When it was drained; the only column that the hash leaves out.';

COMMENT ON COLUMN ledger.entries.conversion IS 'Of an amount that came in another currency: as the hash covers it. ledger.conversions shows its parts.';

COMMENT ON COLUMN ledger.entries.slip IS 'Of an entry that changed a slip: the slip afterwards, as the hash covers it. ledger.slips shows its parts.';

COMMENT ON COLUMN ledger.entries.metadata_digest IS 'SHA-256 of metadata_salt and the metadata''s text: what the hash covers. Null where the hash covers the text.';

COMMENT ON COLUMN ledger.entries.erased_hash IS 'Of an entry whose hash covers a text that was erased: the hash with the word erased in its place.';

CREATE VIEW ledger.conversions AS
 SELECT entries.partition,
    entries.epoch,
    entries.sequence,
    entries.entry_index,
    entries.chain_position,
    entries.entry_type,
    entries.operation,
    entries.player_id,
    entries.source_id,
    entries.transaction_id,
    entries.kind,
    entries.currency AS wallet_currency,
    entries.amount AS wallet_amount,
    entries.booked_time,
    parts.parts[1] AS requested_currency,
    (parts.parts[2])::numeric(38,0) AS requested_amount,
    parts.parts[4] AS rate_origin,
    ((lock.lock[3])::numeric * ((10)::numeric ^ ((lock.lock[4])::integer)::numeric)) AS rate,
    ((lock.lock[5])::numeric * ((10)::numeric ^ ((lock.lock[6])::integer)::numeric)) AS mid_rate,
    lock.lock[7] AS side,
    (lock.lock[8])::integer AS spread_bps,
    lock.lock[9] AS rate_id,
    ('1970-01-01 00:00:00+00'::timestamp with time zone + (((lock.lock[10])::bigint)::double precision * '00:00:00.001'::interval)) AS published_time,
    ('1970-01-01 00:00:00+00'::timestamp with time zone + (((lock.lock[11])::bigint)::double precision * '00:00:00.001'::interval)) AS received_time
   FROM ((ledger.entries
     CROSS JOIN LATERAL string_to_array(entries.conversion, ';'::text) parts(parts))
     CROSS JOIN LATERAL string_to_array(parts.parts[3], ','::text) lock(lock))
  WHERE (entries.conversion IS NOT NULL);

COMMENT ON VIEW ledger.conversions IS 'Entries whose amount was converted. Rates are minor units of the wallet for a minor unit of the requested.';

CREATE TABLE ledger.drainers (
    drainer_id text NOT NULL,
    seen_time timestamp with time zone DEFAULT now() NOT NULL,
    reads integer DEFAULT 1 NOT NULL,
    CONSTRAINT a_drainer_reads_what_the_first_one_did CHECK ((reads >= 1))
);

COMMENT ON TABLE ledger.drainers IS 'Who drains now, so that they can share the partitions.';

COMMENT ON COLUMN ledger.drainers.reads IS 'The newest revision of outbox records that the drainer reads; those that do not say read the first.';

CREATE TABLE ledger.epochs (
    partition integer NOT NULL,
    epoch bigint NOT NULL,
    follows_epoch bigint NOT NULL,
    follows_sequence bigint NOT NULL,
    generation bigint NOT NULL,
    incarnation text NOT NULL,
    reason text NOT NULL,
    started_time timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT an_epoch_follows_an_earlier_one CHECK (((follows_epoch < epoch) AND (follows_sequence >= '-1'::integer))),
    CONSTRAINT memory_is_not_newer_than_its_epoch CHECK (((generation >= 1) AND (generation <= epoch)))
);

COMMENT ON TABLE ledger.epochs IS 'Each time that a partition was taken over: by another primary, or by the same one after a restart.';

COMMENT ON COLUMN ledger.epochs.follows_sequence IS 'With follows_epoch the last outbox record before the first of this epoch; what came after it is lost.';

COMMENT ON COLUMN ledger.epochs.generation IS 'The epoch since which the store''s memory of players holds; what it remembers from before is not used.';

COMMENT ON COLUMN ledger.epochs.incarnation IS 'The replication id of the primary that was taken over.';

CREATE TABLE ledger.erasures (
    erasure_id bigint NOT NULL,
    player_id text NOT NULL,
    erased_by text NOT NULL,
    reason text NOT NULL,
    entry_count bigint NOT NULL,
    erased_time timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT somebody_erases_for_a_reason CHECK (((erased_by <> ''::text) AND (reason <> ''::text)))
);

COMMENT ON TABLE ledger.erasures IS 'Who had which player''s personal data erased, when and why. Append-only.';

COMMENT ON COLUMN ledger.erasures.entry_count IS 'Of how many entries the metadata was erased.';

ALTER TABLE ledger.erasures ALTER COLUMN erasure_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ledger.erasures_erasure_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ledger.incidents (
    incident_id bigint NOT NULL,
    incident_key text NOT NULL,
    kind text NOT NULL,
    partition integer NOT NULL,
    player_id text,
    source_id text,
    transaction_id text,
    entry_id text,
    description text NOT NULL,
    raised_time timestamp with time zone DEFAULT now() NOT NULL,
    resolved_time timestamp with time zone,
    resolution text,
    told text,
    told_fingerprint text,
    CONSTRAINT a_resolved_incident_says_how CHECK (((resolved_time IS NULL) = (resolution IS NULL))),
    CONSTRAINT an_incident_is_of_a_known_kind CHECK ((kind = ANY (ARRAY['memory_lost'::text, 'acknowledged_lost'::text, 'history_forked'::text, 'late_duplicate'::text])))
);

COMMENT ON TABLE ledger.incidents IS 'What a person must know of: nothing that went wrong is absorbed in silence.';

COMMENT ON COLUMN ledger.incidents.incident_key IS 'Names the occurrence, so that whoever sees it again adds nothing.';

COMMENT ON COLUMN ledger.incidents.told IS 'Of an answer that was lost: the type of entry that its caller was told of, as which it has to be in the ledger.';

COMMENT ON COLUMN ledger.incidents.told_fingerprint IS 'And of which payload.';

ALTER TABLE ledger.incidents ALTER COLUMN incident_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ledger.incidents_incident_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ledger.migrations (
    number integer NOT NULL,
    name text NOT NULL,
    checksum bytea NOT NULL,
    applied_time timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE ledger.open_rounds (
    player_id text NOT NULL COLLATE pg_catalog."C",
    source_id text NOT NULL COLLATE pg_catalog."C",
    game_id text NOT NULL COLLATE pg_catalog."C",
    round_id text NOT NULL COLLATE pg_catalog."C",
    partition integer NOT NULL,
    live_bets bigint NOT NULL,
    is_settled boolean NOT NULL,
    first_bet_time timestamp with time zone NOT NULL,
    last_time timestamp with time zone NOT NULL,
    looked_time timestamp with time zone,
    CONSTRAINT an_open_round_has_live_bets CHECK ((live_bets > 0))
)
WITH (fillfactor='80');

COMMENT ON TABLE ledger.open_rounds IS 'Rounds with live bets that nothing has closed, as of ledger.round_progress: follows from entries, and may be made anew.';

COMMENT ON COLUMN ledger.open_rounds.game_id IS 'Empty where the round''s transactions named no game.';

COMMENT ON COLUMN ledger.open_rounds.is_settled IS 'Whether any win or refund stands in it.';

COMMENT ON COLUMN ledger.open_rounds.looked_time IS 'When its bets were last tried to be given back.';

CREATE TABLE ledger.partitions (
    partition integer NOT NULL,
    epoch bigint DEFAULT 1 NOT NULL,
    state text DEFAULT 'new'::text NOT NULL,
    cursor_epoch bigint DEFAULT 1 NOT NULL,
    cursor_sequence bigint DEFAULT '-1'::integer NOT NULL,
    entry_count bigint DEFAULT 0 NOT NULL,
    chain_hash bytea DEFAULT decode(repeat('00'::text, 32), 'hex'::text) NOT NULL,
    stopped_reason text,
    updated_time timestamp with time zone DEFAULT now() NOT NULL,
    lease bigint DEFAULT 0 NOT NULL,
    leased_by text,
    leased_until timestamp with time zone,
    CONSTRAINT a_chain_hash_has_32_bytes CHECK ((octet_length(chain_hash) = 32)),
    CONSTRAINT a_cursor_is_not_ahead_of_its_epoch CHECK ((((cursor_epoch >= 1) AND (cursor_epoch <= epoch)) AND (cursor_sequence >= '-1'::integer))),
    CONSTRAINT a_partition_is_new_opening_or_open CHECK ((state = ANY (ARRAY['new'::text, 'opening'::text, 'open'::text])))
);

COMMENT ON COLUMN ledger.partitions.cursor_sequence IS 'The last outbox record in the ledger; -1 before the first of an epoch.';

COMMENT ON COLUMN ledger.partitions.chain_hash IS 'The hash of the newest entry of the partition; zeros before the first.';

COMMENT ON COLUMN ledger.partitions.stopped_reason IS 'Why nothing is drained until an operator redrives the partition; null where it is drained.';

COMMENT ON COLUMN ledger.partitions.lease IS 'Grows whenever the partition gets another drainer. A commit under an older lease is refused.';

CREATE TABLE ledger.postings (
    partition integer NOT NULL,
    epoch bigint NOT NULL,
    sequence bigint NOT NULL,
    entry_index smallint NOT NULL,
    posting_index smallint NOT NULL,
    account_id bigint NOT NULL,
    currency text NOT NULL,
    amount numeric(38,0) NOT NULL,
    CONSTRAINT a_posting_moves_something CHECK ((amount <> (0)::numeric))
);

COMMENT ON TABLE ledger.postings IS 'The legs of entries. Append-only. Triggers see to it that a posting''s entry and account exist.';

COMMENT ON COLUMN ledger.postings.amount IS 'Positive is in the account owner''s favour.';

CREATE TABLE ledger.publications (
    sink text NOT NULL,
    partition integer NOT NULL,
    "position" bigint NOT NULL,
    lease bigint DEFAULT 0 NOT NULL,
    leased_by text,
    leased_until timestamp with time zone,
    updated_time timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT a_place_is_not_before_the_first CHECK (("position" >= 0))
)
WITH (fillfactor='60');

COMMENT ON COLUMN ledger.publications."position" IS 'The chain position of the next entry: the sink has confirmed all before it. Moved only after that.';

COMMENT ON COLUMN ledger.publications.lease IS 'Grows whenever the partition gets another publisher. Progress under an older lease is refused.';

CREATE TABLE ledger.publishers (
    publisher_id text NOT NULL,
    sink text NOT NULL,
    seen_time timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE ledger.publishers IS 'Who publishes now, so that they can share a sink''s partitions.';

CREATE TABLE ledger.quarantine (
    quarantine_id bigint NOT NULL,
    partition integer NOT NULL,
    epoch bigint NOT NULL,
    sequence bigint NOT NULL,
    fields bytea[] NOT NULL,
    reason text NOT NULL,
    problem text NOT NULL,
    quarantined_time timestamp with time zone DEFAULT now() NOT NULL,
    resolved_time timestamp with time zone
);

COMMENT ON TABLE ledger.quarantine IS 'Outbox records that could not be applied. Nothing after one is drained before it is resolved.';

COMMENT ON COLUMN ledger.quarantine.fields IS 'The record as it stood in the stream: names and values in turn.';

COMMENT ON COLUMN ledger.quarantine.reason IS 'The name of the error, as OutboxGap or DriftDetected.';

ALTER TABLE ledger.quarantine ALTER COLUMN quarantine_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ledger.quarantine_quarantine_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

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
    amount numeric(38,0) NOT NULL,
    cash_change numeric(38,0) NOT NULL,
    bonus_change numeric(38,0) NOT NULL,
    held_change numeric(38,0) NOT NULL,
    receivable_change numeric(38,0) NOT NULL,
    game_id text NOT NULL,
    round_id text NOT NULL,
    reference_transaction_id text NOT NULL,
    metadata jsonb NOT NULL,
    conversion text
);

COMMENT ON TABLE ledger.repairs IS 'Movements that the service itself owes a wallet. One is done as soon as an entry has its id.';

CREATE TABLE ledger.reviews (
    review_id bigint NOT NULL,
    review_key text NOT NULL,
    kind text NOT NULL,
    partition integer NOT NULL,
    player_id text NOT NULL,
    source_id text NOT NULL,
    transaction_id text NOT NULL,
    action_transaction_id text NOT NULL,
    entry_id text NOT NULL,
    game_id text NOT NULL,
    round_id text NOT NULL,
    description text NOT NULL,
    raised_time timestamp with time zone DEFAULT now() NOT NULL,
    resolved_time timestamp with time zone,
    resolved_by text,
    note text,
    CONSTRAINT a_resolved_review_says_by_whom_and_why CHECK ((num_nulls(resolved_time, resolved_by, note) = ANY (ARRAY[0, 3]))),
    CONSTRAINT a_review_is_of_a_known_kind CHECK ((kind = ANY (ARRAY['bet_swept'::text, 'bet_not_swept'::text, 'cashier_contradiction'::text, 'cashier_stuck'::text])))
);

COMMENT ON TABLE ledger.reviews IS 'What the service did by itself, or could not do, and a person should look at.';

COMMENT ON COLUMN ledger.reviews.review_key IS 'Names the occurrence, so that whoever sees it again adds nothing.';

ALTER TABLE ledger.reviews ALTER COLUMN review_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ledger.reviews_review_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ledger.round_progress (
    partition integer NOT NULL,
    next_chain_position bigint NOT NULL
)
WITH (fillfactor='50');

COMMENT ON TABLE ledger.round_progress IS 'The first entry of each partition that ledger.open_rounds does not know of yet.';

CREATE TABLE ledger.salvaged (
    salvaged_id bigint NOT NULL,
    partition integer NOT NULL,
    epoch bigint NOT NULL,
    sequence bigint NOT NULL,
    incarnation text NOT NULL,
    fields bytea[] NOT NULL,
    reason text NOT NULL,
    salvaged_time timestamp with time zone DEFAULT now() NOT NULL,
    restored_time timestamp with time zone
);

COMMENT ON COLUMN ledger.salvaged.incarnation IS 'The primary in which it stood.';

COMMENT ON COLUMN ledger.salvaged.fields IS 'The record as it stood in the stream: names and values in turn.';

ALTER TABLE ledger.salvaged ALTER COLUMN salvaged_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ledger.salvaged_salvaged_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ledger.settings (
    only_row boolean DEFAULT true NOT NULL,
    ledger_id uuid DEFAULT gen_random_uuid() NOT NULL,
    partition_count integer NOT NULL,
    created_time timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT a_ledger_has_partitions CHECK (((partition_count >= 1) AND (partition_count <= 4096))),
    CONSTRAINT settings_are_in_the_only_row CHECK (only_row)
);

COMMENT ON TABLE ledger.settings IS 'Fixed at the first migration: a player''s partition follows from partition_count.';

CREATE TABLE ledger.slips (
    player_id text NOT NULL,
    source_id text NOT NULL,
    slip_id text NOT NULL,
    partition integer NOT NULL,
    kind text NOT NULL,
    currency text NOT NULL,
    slip_currency text NOT NULL,
    version bigint NOT NULL,
    state text NOT NULL,
    held numeric NOT NULL,
    staked numeric NOT NULL,
    live numeric NOT NULL,
    paid numeric NOT NULL,
    cashed numeric NOT NULL,
    held_worth numeric NOT NULL,
    live_worth numeric NOT NULL,
    paid_worth numeric NOT NULL,
    expires_time timestamp with time zone,
    opened_time timestamp with time zone NOT NULL,
    changed_time timestamp with time zone NOT NULL,
    last_transaction_id text NOT NULL,
    undone_by_transaction_id text,
    CONSTRAINT a_slip_is_in_a_known_state CHECK ((state = ANY (ARRAY['held'::text, 'open'::text, 'settled'::text, 'voided'::text, 'cashed_out'::text, 'captured'::text, 'released'::text, 'expired'::text, 'cancelled'::text])))
);

COMMENT ON TABLE ledger.slips IS 'Each slip as its newest entry left it. Amounts are minor units of the slip''s currency, worths of the wallet''s.';

CREATE TABLE ledger.verifications (
    verification_id bigint NOT NULL,
    started_time timestamp with time zone NOT NULL,
    ended_time timestamp with time zone DEFAULT now() NOT NULL,
    with_hot_wallets boolean NOT NULL,
    entry_count bigint NOT NULL,
    wallet_count bigint NOT NULL,
    undrained_wallet_count bigint NOT NULL,
    finding_count bigint NOT NULL
);

COMMENT ON TABLE ledger.verifications IS 'Audits of everything that came to their end, and how many findings each had.';

COMMENT ON COLUMN ledger.verifications.with_hot_wallets IS 'Whether the store''s wallets were compared with the ledger, too.';

ALTER TABLE ledger.verifications ALTER COLUMN verification_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME ledger.verifications_verification_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE ledger.vouchers (
    server_id text NOT NULL,
    partition integer NOT NULL,
    incarnation text NOT NULL,
    seen_time timestamp with time zone DEFAULT now() NOT NULL
);

COMMENT ON TABLE ledger.vouchers IS 'Servers that reach a partition''s store now. While one does, no other store is put in its place.';

CREATE TABLE ledger.wallets (
    player_id text NOT NULL,
    currency text NOT NULL,
    partition integer NOT NULL,
    version bigint NOT NULL,
    status text NOT NULL,
    credit_line numeric(38,0) NOT NULL,
    opened_time timestamp with time zone NOT NULL,
    last_booked_time timestamp with time zone NOT NULL
)
WITH (fillfactor='60');

COMMENT ON TABLE ledger.wallets IS 'Each wallet as of its newest entry, kept by a trigger; nobody may write it.';

CREATE TABLE providers.callback_answers (
    answer_number bigint NOT NULL,
    callback_number bigint NOT NULL,
    outcome text NOT NULL,
    status_code integer NOT NULL,
    body_digest bytea NOT NULL,
    answered_time timestamp with time zone NOT NULL,
    CONSTRAINT an_answer_s_digest_has_32_bytes CHECK ((octet_length(body_digest) = 32))
);

COMMENT ON TABLE providers.callback_answers IS 'What was answered, each time. A callback without an answer was being acted upon when its server died, or its answer could not be noted: the ledger says what it moved.';

ALTER TABLE providers.callback_answers ALTER COLUMN answer_number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME providers.callback_answers_answer_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE providers.callback_duplicates (
    callback_number bigint NOT NULL,
    times bigint NOT NULL,
    last_time timestamp with time zone NOT NULL,
    CONSTRAINT there_is_at_least_one_duplicate CHECK ((times > 0))
);

COMMENT ON TABLE providers.callback_duplicates IS 'How often the very same callback came again.';

CREATE TABLE providers.callbacks (
    callback_number bigint NOT NULL,
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
    received_time timestamp with time zone NOT NULL,
    recorded_time timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    erased_time timestamp with time zone,
    CONSTRAINT a_body_digest_has_32_bytes CHECK ((octet_length(body_digest) = 32)),
    CONSTRAINT what_came_is_there_until_it_is_erased CHECK ((((erased_time IS NOT NULL) = (body IS NULL)) AND ((body IS NULL) = (headers IS NULL)) AND ((body IS NULL) = (peer IS NULL))))
);

COMMENT ON TABLE providers.callbacks IS 'Callbacks whose signature was good, as they came, written before they are acted upon.';

COMMENT ON COLUMN providers.callbacks.body_digest IS 'SHA-256 of the body as it came; it stays when the body is erased.';

COMMENT ON COLUMN providers.callbacks.headers IS 'Those that say something and are no secrets.';

COMMENT ON COLUMN providers.callbacks.key_id IS 'Which of the provider''s keys has signed it.';

COMMENT ON COLUMN providers.callbacks.player_id IS 'As the body says; empty where it could not be read.';

COMMENT ON COLUMN providers.callbacks.received_time IS 'When the edge had received it, by the edge''s clock.';

ALTER TABLE providers.callbacks ALTER COLUMN callback_number ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME providers.callbacks_callback_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE providers.sessions (
    token_digest bytea NOT NULL,
    provider_id text NOT NULL,
    player_id text NOT NULL,
    currency_code text NOT NULL,
    game_id text NOT NULL,
    opened_time timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    expire_time timestamp with time zone NOT NULL,
    closed_time timestamp with time zone,
    CONSTRAINT a_token_s_digest_has_32_bytes CHECK ((octet_length(token_digest) = 32))
);

COMMENT ON COLUMN providers.sessions.token_digest IS 'SHA-256 of the token, which itself is kept nowhere but in the bodies of the callbacks that named it, until these are erased.';

CREATE TABLE registry.currencies (
    currency_code text NOT NULL,
    display_name text NOT NULL,
    scale smallint NOT NULL,
    kind text NOT NULL,
    status text NOT NULL,
    created_time timestamp with time zone DEFAULT now() NOT NULL,
    updated_time timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT a_currency_code_has_3_to_12_letters_and_digits CHECK ((currency_code ~ '^[A-Z][A-Z0-9]{2,11}$'::text)),
    CONSTRAINT a_currency_has_0_to_18_decimals CHECK (((scale >= 0) AND (scale <= 18))),
    CONSTRAINT a_currency_has_a_known_status CHECK ((status = ANY (ARRAY['enabled'::text, 'no_new_debits'::text, 'disabled'::text]))),
    CONSTRAINT a_currency_is_of_a_known_kind CHECK ((kind = ANY (ARRAY['fiat'::text, 'stablecoin'::text, 'crypto'::text])))
);

CREATE TABLE registry.denominations (
    denomination_code text NOT NULL,
    currency_code text NOT NULL,
    exponent smallint NOT NULL,
    created_time timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT a_denomination_code_has_1_to_32_characters CHECK ((denomination_code ~ '^[A-Za-z][A-Za-z0-9_.-]{0,31}$'::text)),
    CONSTRAINT a_denomination_is_10_to_the_minus_18_to_18 CHECK (((exponent >= '-18'::integer) AND (exponent <= 18)))
);

COMMENT ON TABLE registry.denominations IS 'One unit is 10^exponent units of the currency. Never changed.';

CREATE TABLE registry.sources (
    source_id text NOT NULL,
    display_name text NOT NULL,
    status text NOT NULL,
    settled_rollback text NOT NULL,
    unknown_bet text NOT NULL,
    late_win text NOT NULL,
    shortfall text NOT NULL,
    zero_amount text NOT NULL,
    created_time timestamp with time zone DEFAULT now() NOT NULL,
    updated_time timestamp with time zone DEFAULT now() NOT NULL,
    foreign_currency text DEFAULT 'refuse'::text NOT NULL,
    orphan_horizon_ms bigint,
    calls_per_s integer,
    burst_calls integer,
    CONSTRAINT a_bet_is_no_orphan_within_a_minute CHECK ((orphan_horizon_ms >= 60000)),
    CONSTRAINT a_rate_limit_has_a_rate_and_a_burst CHECK (((calls_per_s IS NULL) = (burst_calls IS NULL))),
    CONSTRAINT a_source_has_a_known_status CHECK ((status = ANY (ARRAY['enabled'::text, 'disabled'::text]))),
    CONSTRAINT a_source_id_has_1_to_64_characters CHECK ((source_id ~ '^[a-z0-9][a-z0-9_.-]{0,63}$'::text)),
    CONSTRAINT a_source_may_call CHECK ((calls_per_s >= 1)),
    CONSTRAINT a_source_may_call_at_once CHECK ((burst_calls >= 1)),
    CONSTRAINT amounts_of_zero_have_a_known_policy CHECK ((zero_amount = ANY (ARRAY['accept'::text, 'refuse'::text]))),
    CONSTRAINT foreign_currencies_have_a_known_policy CHECK ((foreign_currency = ANY (ARRAY['refuse'::text, 'convert'::text]))),
    CONSTRAINT late_wins_have_a_known_policy CHECK ((late_win = ANY (ARRAY['accept'::text, 'refuse'::text]))),
    CONSTRAINT rollbacks_of_settled_bets_have_a_known_policy CHECK ((settled_rollback = ANY (ARRAY['refuse'::text, 'allow'::text]))),
    CONSTRAINT shortfalls_have_a_known_policy CHECK ((shortfall = ANY (ARRAY['negative'::text, 'clamp'::text, 'reject'::text]))),
    CONSTRAINT wins_of_unknown_bets_have_a_known_policy CHECK ((unknown_bet = ANY (ARRAY['refuse'::text, 'accept'::text])))
);

COMMENT ON COLUMN registry.sources.orphan_horizon_ms IS 'How long a bet may stand without any settlement before it is given back; null: for ever.';

COMMENT ON COLUMN registry.sources.calls_per_s IS 'How many calls a second each server takes in the long run; null: as its settings say.';

COMMENT ON COLUMN registry.sources.burst_calls IS 'How many calls may come at once after a pause.';

ALTER TABLE ONLY cashier.cases
    ADD CONSTRAINT a_case_is_opened_once UNIQUE (kind, source_id, case_id);

ALTER TABLE ONLY cashier.cases
    ADD CONSTRAINT cases_are_numbered PRIMARY KEY (case_number);

ALTER TABLE ONLY cashier.messages
    ADD CONSTRAINT messages_are_numbered PRIMARY KEY (message_number);

ALTER TABLE ONLY fx.pairs
    ADD CONSTRAINT a_pair_is_put_once PRIMARY KEY (base, quote);

ALTER TABLE ONLY fx.pivots
    ADD CONSTRAINT a_pivot_has_one_rank UNIQUE (currency_code);

ALTER TABLE ONLY fx.rate_decisions
    ADD CONSTRAINT a_rate_is_decided_once PRIMARY KEY (rate_id);

ALTER TABLE ONLY fx.spreads
    ADD CONSTRAINT a_spread_is_put_once PRIMARY KEY (currency, wallet_currency, side, player_group);

ALTER TABLE ONLY fx.pivots
    ADD CONSTRAINT pivots_are_ranked PRIMARY KEY (rank);

ALTER TABLE ONLY fx.quote_keys
    ADD CONSTRAINT quote_keys_are_numbered PRIMARY KEY (key_id);

ALTER TABLE ONLY fx.rates
    ADD CONSTRAINT rates_are_numbered PRIMARY KEY (rate_id);

ALTER TABLE ONLY inbox.partitions
    ADD CONSTRAINT a_partition_of_the_inbox_is_one_row PRIMARY KEY (partition);

ALTER TABLE ONLY inbox.origins
    ADD CONSTRAINT a_submission_has_one_origin PRIMARY KEY (submission_number);

ALTER TABLE ONLY inbox.submissions
    ADD CONSTRAINT a_submission_id_is_used_once UNIQUE (source_id, submission_id);

ALTER TABLE ONLY inbox.workers
    ADD CONSTRAINT a_worker_is_one_row PRIMARY KEY (worker_id);

ALTER TABLE ONLY inbox.commands
    ADD CONSTRAINT commands_are_in_order PRIMARY KEY (submission_number, command_index);

ALTER TABLE ONLY inbox.submissions
    ADD CONSTRAINT submissions_are_numbered PRIMARY KEY (submission_number);

ALTER TABLE ONLY inbox.pruned
    ADD CONSTRAINT submissions_are_pruned_in_one_order PRIMARY KEY (the_only_row);

ALTER TABLE ONLY ledger.drainers
    ADD CONSTRAINT a_drainer_is_listed_once PRIMARY KEY (drainer_id);

ALTER TABLE ONLY ledger.settings
    ADD CONSTRAINT a_ledger_has_one_row_of_settings PRIMARY KEY (only_row);

ALTER TABLE ONLY ledger.migrations
    ADD CONSTRAINT a_migration_is_applied_once PRIMARY KEY (number);

ALTER TABLE ONLY ledger.archives
    ADD CONSTRAINT a_month_of_a_partition_is_archived_once UNIQUE (partition, month);

ALTER TABLE ONLY ledger.wallets
    ADD CONSTRAINT a_player_has_one_wallet_per_currency PRIMARY KEY (player_id, currency);

ALTER TABLE ONLY ledger.postings
    ADD CONSTRAINT a_posting_has_one_place_in_its_entry PRIMARY KEY (partition, epoch, sequence, entry_index, posting_index);

ALTER TABLE ONLY ledger.publishers
    ADD CONSTRAINT a_publisher_is_listed_once PRIMARY KEY (publisher_id);

ALTER TABLE ONLY ledger.salvaged
    ADD CONSTRAINT a_record_is_salvaged_once UNIQUE (partition, epoch, sequence, incarnation);

ALTER TABLE ONLY ledger.repairs
    ADD CONSTRAINT a_repair_has_an_id_of_its_own PRIMARY KEY (player_id, source_id, transaction_id);

ALTER TABLE ONLY ledger.reviews
    ADD CONSTRAINT a_review_is_raised_once UNIQUE (review_key);

ALTER TABLE ONLY ledger.open_rounds
    ADD CONSTRAINT a_round_is_open_once PRIMARY KEY (player_id, source_id, game_id, round_id);

ALTER TABLE ledger.entries
    ADD CONSTRAINT a_salt_is_of_a_digest CHECK (((metadata_salt IS NULL) OR (metadata_digest IS NOT NULL))) NOT VALID;

ALTER TABLE ONLY ledger.vouchers
    ADD CONSTRAINT a_server_vouches_for_one_store PRIMARY KEY (server_id, partition);

ALTER TABLE ONLY ledger.publications
    ADD CONSTRAINT a_sink_has_one_place_in_each_partition PRIMARY KEY (sink, partition);

ALTER TABLE ONLY ledger.entries
    ADD CONSTRAINT a_transaction_id_takes_effect_once UNIQUE (player_id, source_id, transaction_id);

ALTER TABLE ONLY ledger.access_log
    ADD CONSTRAINT access_records_are_numbered PRIMARY KEY ("position");

ALTER TABLE ONLY ledger.accounts
    ADD CONSTRAINT accounts_are_numbered PRIMARY KEY (account_id);

ALTER TABLE ONLY ledger.access_log
    ADD CONSTRAINT an_access_record_is_written_once UNIQUE (record_id);

ALTER TABLE ONLY ledger.balances
    ADD CONSTRAINT an_account_has_one_balance PRIMARY KEY (account_id);

ALTER TABLE ONLY ledger.archives
    ADD CONSTRAINT an_archive_begins_where_one_ends PRIMARY KEY (partition, first_position);

ALTER TABLE ONLY ledger.entries
    ADD CONSTRAINT an_entry_has_one_place_in_its_chain UNIQUE (partition, chain_position);

ALTER TABLE ONLY ledger.entries
    ADD CONSTRAINT an_entry_has_one_place_in_the_outbox PRIMARY KEY (partition, epoch, sequence, entry_index);

ALTER TABLE ledger.entries
    ADD CONSTRAINT an_entry_is_of_a_known_type CHECK ((entry_type = ANY (ARRAY['applied'::text, 'refused'::text, 'no_movement'::text, 'tombstone'::text, 'wallet_opened'::text, 'status_changed'::text, 'round_closed'::text]))) NOT VALID;

ALTER TABLE ONLY ledger.epochs
    ADD CONSTRAINT an_epoch_starts_once PRIMARY KEY (partition, epoch);

ALTER TABLE ONLY ledger.incidents
    ADD CONSTRAINT an_incident_is_raised_once UNIQUE (incident_key);

ALTER TABLE ONLY ledger.accounts
    ADD CONSTRAINT an_owner_has_one_account_per_currency_bucket_and_partition UNIQUE (owner_kind, owner_id, currency, bucket, partition);

ALTER TABLE ONLY ledger.erasures
    ADD CONSTRAINT erasures_are_numbered PRIMARY KEY (erasure_id);

ALTER TABLE ONLY ledger.incidents
    ADD CONSTRAINT incidents_are_numbered PRIMARY KEY (incident_id);

ALTER TABLE ONLY ledger.partitions
    ADD CONSTRAINT partitions_are_unique PRIMARY KEY (partition);

ALTER TABLE ONLY ledger.quarantine
    ADD CONSTRAINT quarantined_records_are_numbered PRIMARY KEY (quarantine_id);

ALTER TABLE ONLY ledger.reviews
    ADD CONSTRAINT reviews_are_numbered PRIMARY KEY (review_id);

ALTER TABLE ONLY ledger.round_progress
    ADD CONSTRAINT rounds_are_followed_once PRIMARY KEY (partition);

ALTER TABLE ONLY ledger.salvaged
    ADD CONSTRAINT salvaged_records_are_numbered PRIMARY KEY (salvaged_id);

ALTER TABLE ONLY ledger.slips
    ADD CONSTRAINT slips_pkey PRIMARY KEY (player_id, source_id, slip_id);

ALTER TABLE ONLY ledger.access_head
    ADD CONSTRAINT the_access_log_has_one_head PRIMARY KEY (is_head);

ALTER TABLE ONLY ledger.verifications
    ADD CONSTRAINT verifications_are_numbered PRIMARY KEY (verification_id);

ALTER TABLE ONLY providers.callback_duplicates
    ADD CONSTRAINT a_callback_s_duplicates_are_counted_once PRIMARY KEY (callback_number);

ALTER TABLE ONLY providers.sessions
    ADD CONSTRAINT a_token_is_of_one_session PRIMARY KEY (token_digest);

ALTER TABLE ONLY providers.callback_answers
    ADD CONSTRAINT answers_are_numbered PRIMARY KEY (answer_number);

ALTER TABLE ONLY providers.callbacks
    ADD CONSTRAINT callbacks_are_numbered PRIMARY KEY (callback_number);

ALTER TABLE ONLY providers.callbacks
    ADD CONSTRAINT the_same_callback_is_recorded_once UNIQUE (provider_id, path, body_digest, method);

ALTER TABLE ONLY registry.currencies
    ADD CONSTRAINT a_currency_code_is_unique PRIMARY KEY (currency_code);

ALTER TABLE ONLY registry.denominations
    ADD CONSTRAINT a_denomination_code_is_unique PRIMARY KEY (denomination_code);

ALTER TABLE ONLY registry.sources
    ADD CONSTRAINT a_source_id_is_unique PRIMARY KEY (source_id);

CREATE INDEX cases_in_order ON cashier.cases USING btree (kind, case_number);

CREATE INDEX cases_of_a_player ON cashier.cases USING btree (player_id, kind, case_number);

CREATE INDEX cases_under_way ON cashier.cases USING btree (due_time) WHERE (due_time IS NOT NULL);

CREATE INDEX deposits_that_expire ON cashier.cases USING btree (expires_time) WHERE (state = 'created'::text);

CREATE INDEX messages_of_a_case ON cashier.messages USING btree (case_number, message_number);

CREATE INDEX accepted_rates ON fx.rates USING btree (base, quote, published_time DESC, rate_id DESC) WHERE (state = 'accepted'::text);

CREATE INDEX held_rates ON fx.rates USING btree (base, quote, published_time DESC, rate_id DESC) WHERE (state = 'held'::text);

CREATE INDEX rates_by_pair ON fx.rates USING btree (base, quote, published_time, rate_id);

CREATE INDEX rates_by_source ON fx.rates USING btree (base, quote, source, rate_id);

CREATE INDEX dead_letters ON inbox.commands USING btree (submission_number, command_index) WHERE (state = 'dead'::text);

CREATE INDEX finished_submissions ON inbox.submissions USING btree (finished_time, submission_number) WHERE (finished_time IS NOT NULL);

CREATE INDEX retried_commands ON inbox.commands USING btree (due_time) WHERE ((state = 'waiting'::text) AND (due_time IS NOT NULL));

CREATE INDEX submissions_of_a_source ON inbox.submissions USING btree (source_id, submission_number);

CREATE INDEX unfinished_submissions ON inbox.submissions USING btree (submission_number) WHERE (finished_time IS NULL);

CREATE INDEX waiting_commands ON inbox.commands USING btree (submission_number, command_index, partition) WHERE (state = 'waiting'::text);

CREATE INDEX waiting_commands_of_a_player ON inbox.commands USING btree (player_id, submission_number, command_index) WHERE (state = 'waiting'::text);

CREATE UNIQUE INDEX a_record_waits_in_quarantine_once ON ledger.quarantine USING btree (partition, epoch, sequence) WHERE (resolved_time IS NULL);

CREATE UNIQUE INDEX a_wallet_has_each_version_once ON ledger.entries USING btree (player_id, currency, version) WHERE (version IS NOT NULL);

CREATE INDEX access_records_about_a_player ON ledger.access_log USING btree (player_id, "position") WHERE (player_id <> ''::text);

CREATE INDEX access_records_of_a_call ON ledger.access_log USING btree (call_id) WHERE (call_id <> ''::text);

CREATE INDEX access_records_of_a_caller ON ledger.access_log USING btree (caller, "position");

CREATE INDEX conversions_by_time ON ledger.entries USING btree (booked_time, partition, chain_position) WHERE (conversion IS NOT NULL);

CREATE INDEX entries_by_player ON ledger.entries USING btree (player_id, booked_time, partition, chain_position);

CREATE INDEX entries_by_players_round ON ledger.entries USING btree (player_id, source_id, game_id, round_id) WHERE (round_id IS NOT NULL);

CREATE INDEX entries_by_reference ON ledger.entries USING btree (player_id, source_id, reference_transaction_id) WHERE (reference_transaction_id IS NOT NULL);

CREATE INDEX entries_by_round ON ledger.entries USING btree (round_id, booked_time, partition, chain_position) WHERE (round_id IS NOT NULL);

CREATE INDEX entries_by_source ON ledger.entries USING btree (source_id, booked_time, partition, chain_position);

CREATE INDEX entries_by_time ON ledger.entries USING btree (booked_time, partition, chain_position);

CREATE INDEX erasures_of_a_player ON ledger.erasures USING btree (player_id);

CREATE INDEX holds_by_deadline ON ledger.slips USING btree (expires_time) WHERE ((state = 'held'::text) AND (expires_time IS NOT NULL));

CREATE INDEX open_incidents ON ledger.incidents USING btree (incident_id) WHERE (resolved_time IS NULL);

CREATE INDEX open_reviews ON ledger.reviews USING btree (review_id) WHERE (resolved_time IS NULL);

CREATE INDEX open_rounds_by_use ON ledger.open_rounds USING btree (player_id, last_time DESC);

CREATE INDEX records_to_restore ON ledger.salvaged USING btree (salvaged_id) WHERE (restored_time IS NULL);

CREATE INDEX slips_by_player ON ledger.slips USING btree (player_id, opened_time DESC, source_id, slip_id);

CREATE INDEX slips_in_play ON ledger.slips USING btree (player_id, source_id, slip_id) WHERE (state = ANY (ARRAY['held'::text, 'open'::text]));

CREATE INDEX unsettled_rounds_by_age ON ledger.open_rounds USING btree (source_id, first_bet_time) WHERE (NOT is_settled);

CREATE INDEX answers_to_a_callback ON providers.callback_answers USING btree (callback_number, answer_number);

CREATE INDEX callbacks_of_a_player ON providers.callbacks USING btree (player_id, callback_number) WHERE (player_id <> ''::text);

CREATE INDEX callbacks_of_a_transaction ON providers.callbacks USING btree (transaction_id, callback_number) WHERE (transaction_id <> ''::text);

CREATE INDEX callbacks_that_are_not_erased ON providers.callbacks USING btree (recorded_time) WHERE (erased_time IS NULL);

CREATE INDEX sessions_of_a_player ON providers.sessions USING btree (player_id, opened_time);

CREATE TRIGGER cases_are_not_removed BEFORE DELETE OR TRUNCATE ON cashier.cases FOR EACH STATEMENT EXECUTE FUNCTION cashier.refuse_to_rewrite();

CREATE TRIGGER messages_are_append_only BEFORE DELETE OR TRUNCATE ON cashier.messages FOR EACH STATEMENT EXECUTE FUNCTION cashier.refuse_to_rewrite();

CREATE TRIGGER messages_change_only_by_being_erased BEFORE UPDATE ON cashier.messages FOR EACH ROW EXECUTE FUNCTION cashier.refuse_all_but_erasing();

CREATE TRIGGER decisions_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON fx.rate_decisions FOR EACH STATEMENT EXECUTE FUNCTION fx.refuse_to_rewrite();

CREATE TRIGGER only_held_rates_are_decided BEFORE INSERT ON fx.rate_decisions FOR EACH ROW EXECUTE FUNCTION fx.require_a_held_rate();

CREATE TRIGGER rates_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON fx.rates FOR EACH STATEMENT EXECUTE FUNCTION fx.refuse_to_rewrite();

CREATE TRIGGER a_postings_have_entries AFTER INSERT ON ledger.postings REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger.require_postings_to_have_entries();

CREATE TRIGGER a_postings_sum_to_zero AFTER INSERT ON ledger.postings REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger.require_postings_to_sum_to_zero();

CREATE TRIGGER a_publication_only_moves_forward BEFORE UPDATE ON ledger.publications FOR EACH ROW EXECUTE FUNCTION ledger.refuse_a_publication_that_moves_back();

CREATE TRIGGER a_review_is_resolved_once BEFORE UPDATE ON ledger.reviews FOR EACH ROW WHEN ((old.resolved_time IS NOT NULL)) EXECUTE FUNCTION ledger.refuse_to_change_a_review();

CREATE TRIGGER access_records_are_chained BEFORE INSERT ON ledger.access_log FOR EACH ROW EXECUTE FUNCTION ledger.chain_access_record();

CREATE TRIGGER accounts_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON ledger.accounts FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_to_rewrite();

CREATE TRIGGER archives_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON ledger.archives FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_to_rewrite();

CREATE TRIGGER b_postings_add_to_balances AFTER INSERT ON ledger.postings REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger.add_postings_to_balances();

CREATE TRIGGER entries_advance_wallets AFTER INSERT ON ledger.entries REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION ledger.advance_wallets();

CREATE TRIGGER entries_are_append_only BEFORE DELETE OR TRUNCATE ON ledger.entries FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_to_rewrite();

CREATE TRIGGER entries_change_only_by_being_erased BEFORE UPDATE ON ledger.entries FOR EACH ROW EXECUTE FUNCTION ledger.refuse_all_but_erasing();

CREATE TRIGGER erasures_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON ledger.erasures FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_to_rewrite();

CREATE TRIGGER postings_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON ledger.postings FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_to_rewrite();

CREATE TRIGGER the_access_log_is_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON ledger.access_log FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_to_rewrite();

CREATE TRIGGER the_cursor_only_moves_forward BEFORE UPDATE ON ledger.partitions FOR EACH ROW EXECUTE FUNCTION ledger.refuse_a_cursor_that_moves_back();

CREATE TRIGGER answers_are_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON providers.callback_answers FOR EACH STATEMENT EXECUTE FUNCTION providers.refuse_to_rewrite();

CREATE TRIGGER callbacks_are_append_only BEFORE UPDATE ON providers.callbacks FOR EACH ROW EXECUTE FUNCTION providers.refuse_all_but_erasing();

CREATE TRIGGER callbacks_are_not_removed BEFORE DELETE OR TRUNCATE ON providers.callbacks FOR EACH STATEMENT EXECUTE FUNCTION providers.refuse_to_rewrite();

CREATE TRIGGER a_code_is_a_currency_or_a_denomination BEFORE INSERT ON registry.currencies FOR EACH ROW EXECUTE FUNCTION registry.require_one_meaning_of_a_code();

CREATE TRIGGER a_code_is_a_currency_or_a_denomination BEFORE INSERT ON registry.denominations FOR EACH ROW EXECUTE FUNCTION registry.require_one_meaning_of_a_code();

CREATE TRIGGER currencies_are_never_deleted BEFORE DELETE ON registry.currencies FOR EACH ROW EXECUTE FUNCTION registry.refuse_to_change_what_amounts_mean();

CREATE TRIGGER denominations_are_never_changed BEFORE DELETE OR UPDATE ON registry.denominations FOR EACH ROW EXECUTE FUNCTION registry.refuse_to_change_a_denomination();

CREATE TRIGGER what_amounts_mean_never_changes BEFORE UPDATE ON registry.currencies FOR EACH ROW WHEN ((((old.currency_code IS DISTINCT FROM new.currency_code) OR (old.scale IS DISTINCT FROM new.scale)) OR (old.kind IS DISTINCT FROM new.kind))) EXECUTE FUNCTION registry.refuse_to_change_what_amounts_mean();

ALTER TABLE ONLY cashier.cases
    ADD CONSTRAINT a_case_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions(partition);

ALTER TABLE ONLY cashier.messages
    ADD CONSTRAINT a_message_is_about_a_case FOREIGN KEY (case_number) REFERENCES cashier.cases(case_number);

ALTER TABLE ONLY fx.pairs
    ADD CONSTRAINT a_base_is_a_currency FOREIGN KEY (base) REFERENCES registry.currencies(currency_code);

ALTER TABLE ONLY fx.rate_decisions
    ADD CONSTRAINT a_decision_is_about_a_rate FOREIGN KEY (rate_id) REFERENCES fx.rates(rate_id);

ALTER TABLE ONLY fx.pivots
    ADD CONSTRAINT a_pivot_is_a_currency FOREIGN KEY (currency_code) REFERENCES registry.currencies(currency_code);

ALTER TABLE ONLY fx.pairs
    ADD CONSTRAINT a_quote_is_a_currency FOREIGN KEY (quote) REFERENCES registry.currencies(currency_code);

ALTER TABLE ONLY fx.rates
    ADD CONSTRAINT a_rate_is_of_a_pair FOREIGN KEY (base, quote) REFERENCES fx.pairs(base, quote);

ALTER TABLE ONLY inbox.origins
    ADD CONSTRAINT an_origin_is_of_a_submission FOREIGN KEY (submission_number) REFERENCES inbox.submissions(submission_number);

ALTER TABLE ONLY ledger.balances
    ADD CONSTRAINT a_balance_is_of_an_account FOREIGN KEY (account_id) REFERENCES ledger.accounts(account_id);

ALTER TABLE ONLY ledger.publications
    ADD CONSTRAINT a_publication_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions(partition);

ALTER TABLE ONLY ledger.quarantine
    ADD CONSTRAINT a_quarantined_record_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions(partition);

ALTER TABLE ONLY ledger.repairs
    ADD CONSTRAINT a_repair_is_of_an_incident FOREIGN KEY (incident_id) REFERENCES ledger.incidents(incident_id);

ALTER TABLE ONLY ledger.reviews
    ADD CONSTRAINT a_review_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions(partition);

ALTER TABLE ONLY ledger.salvaged
    ADD CONSTRAINT a_salvaged_record_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions(partition);

ALTER TABLE ONLY ledger.wallets
    ADD CONSTRAINT a_wallet_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions(partition);

ALTER TABLE ONLY ledger.accounts
    ADD CONSTRAINT an_account_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions(partition);

ALTER TABLE ONLY ledger.archives
    ADD CONSTRAINT an_archive_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions(partition);

ALTER TABLE ONLY ledger.epochs
    ADD CONSTRAINT an_epoch_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions(partition);

ALTER TABLE ONLY ledger.incidents
    ADD CONSTRAINT an_incident_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions(partition);

ALTER TABLE ONLY ledger.open_rounds
    ADD CONSTRAINT an_open_round_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions(partition);

ALTER TABLE ONLY ledger.round_progress
    ADD CONSTRAINT the_progress_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions(partition);

ALTER TABLE ONLY providers.callback_answers
    ADD CONSTRAINT an_answer_is_to_a_callback FOREIGN KEY (callback_number) REFERENCES providers.callbacks(callback_number);

ALTER TABLE ONLY providers.callback_duplicates
    ADD CONSTRAINT duplicates_are_of_a_callback FOREIGN KEY (callback_number) REFERENCES providers.callbacks(callback_number);

ALTER TABLE ONLY registry.denominations
    ADD CONSTRAINT a_denomination_is_of_a_currency FOREIGN KEY (currency_code) REFERENCES registry.currencies(currency_code);

GRANT USAGE ON SCHEMA cashier TO stakehold_reader;
GRANT USAGE ON SCHEMA cashier TO stakehold_cashier;
GRANT USAGE ON SCHEMA cashier TO stakehold_eraser;

GRANT USAGE ON SCHEMA fx TO stakehold_reader;
GRANT USAGE ON SCHEMA fx TO stakehold_writer;
GRANT USAGE ON SCHEMA fx TO stakehold_registrar;

GRANT USAGE ON SCHEMA inbox TO stakehold_reader;
GRANT USAGE ON SCHEMA inbox TO stakehold_inbox;
GRANT USAGE ON SCHEMA inbox TO stakehold_eraser;
GRANT USAGE ON SCHEMA inbox TO stakehold_pruner;

GRANT USAGE ON SCHEMA ledger TO stakehold_reader;
GRANT USAGE ON SCHEMA ledger TO stakehold_writer;
GRANT USAGE ON SCHEMA ledger TO stakehold_registrar;
GRANT USAGE ON SCHEMA ledger TO stakehold_inbox;
GRANT USAGE ON SCHEMA ledger TO stakehold_publisher;
GRANT USAGE ON SCHEMA ledger TO stakehold_cashier;
GRANT USAGE ON SCHEMA ledger TO stakehold_recorder;
GRANT USAGE ON SCHEMA ledger TO stakehold_eraser;
GRANT USAGE ON SCHEMA ledger TO stakehold_pruner;

GRANT USAGE ON SCHEMA providers TO stakehold_reader;
GRANT USAGE ON SCHEMA providers TO stakehold_callbacks;
GRANT USAGE ON SCHEMA providers TO stakehold_eraser;

GRANT USAGE ON SCHEMA registry TO stakehold_reader;
GRANT USAGE ON SCHEMA registry TO stakehold_writer;
GRANT USAGE ON SCHEMA registry TO stakehold_registrar;

REVOKE ALL ON FUNCTION cashier.refuse_all_but_erasing() FROM PUBLIC;

REVOKE ALL ON FUNCTION cashier.refuse_to_rewrite() FROM PUBLIC;

GRANT SELECT ON TABLE fx.rate_decisions TO stakehold_reader;
GRANT SELECT ON TABLE fx.rate_decisions TO stakehold_writer;
GRANT SELECT,INSERT ON TABLE fx.rate_decisions TO stakehold_registrar;

GRANT SELECT ON TABLE fx.rates TO stakehold_reader;
GRANT SELECT ON TABLE fx.rates TO stakehold_writer;
GRANT SELECT,INSERT ON TABLE fx.rates TO stakehold_registrar;

GRANT SELECT ON TABLE fx.judged_rates TO stakehold_reader;
GRANT SELECT ON TABLE fx.judged_rates TO stakehold_writer;
GRANT SELECT ON TABLE fx.judged_rates TO stakehold_registrar;

REVOKE ALL ON FUNCTION fx.rate_at(of_base text, of_quote text, at_time timestamp with time zone, known_time timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION fx.rate_at(of_base text, of_quote text, at_time timestamp with time zone, known_time timestamp with time zone) TO stakehold_reader;
GRANT ALL ON FUNCTION fx.rate_at(of_base text, of_quote text, at_time timestamp with time zone, known_time timestamp with time zone) TO stakehold_writer;
GRANT ALL ON FUNCTION fx.rate_at(of_base text, of_quote text, at_time timestamp with time zone, known_time timestamp with time zone) TO stakehold_registrar;

REVOKE ALL ON FUNCTION fx.refuse_to_rewrite() FROM PUBLIC;

REVOKE ALL ON FUNCTION fx.require_a_held_rate() FROM PUBLIC;

REVOKE ALL ON FUNCTION fx.waiting_rates(of_base text, of_quote text) FROM PUBLIC;
GRANT ALL ON FUNCTION fx.waiting_rates(of_base text, of_quote text) TO stakehold_reader;
GRANT ALL ON FUNCTION fx.waiting_rates(of_base text, of_quote text) TO stakehold_writer;
GRANT ALL ON FUNCTION fx.waiting_rates(of_base text, of_quote text) TO stakehold_registrar;

GRANT SELECT,INSERT ON TABLE ledger.access_log TO stakehold_recorder;
GRANT SELECT ON TABLE ledger.access_log TO stakehold_reader;
GRANT SELECT ON TABLE ledger.access_log TO stakehold_eraser;

REVOKE ALL ON FUNCTION ledger.access_hash(previous bytea, record ledger.access_log) FROM PUBLIC;
GRANT ALL ON FUNCTION ledger.access_hash(previous bytea, record ledger.access_log) TO stakehold_reader;

REVOKE ALL ON FUNCTION ledger.add_postings_to_balances() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.advance_wallets() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.chain_access_record() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.refuse_a_cursor_that_moves_back() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.refuse_all_but_erasing() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.refuse_to_change_a_review() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.refuse_to_rewrite() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.require_postings_to_have_entries() FROM PUBLIC;

REVOKE ALL ON FUNCTION ledger.require_postings_to_sum_to_zero() FROM PUBLIC;

REVOKE ALL ON FUNCTION providers.refuse_all_but_erasing() FROM PUBLIC;

REVOKE ALL ON FUNCTION providers.refuse_to_rewrite() FROM PUBLIC;

REVOKE ALL ON FUNCTION registry.refuse_to_change_a_denomination() FROM PUBLIC;

REVOKE ALL ON FUNCTION registry.refuse_to_change_what_amounts_mean() FROM PUBLIC;

REVOKE ALL ON FUNCTION registry.require_one_meaning_of_a_code() FROM PUBLIC;

GRANT SELECT,INSERT ON TABLE cashier.cases TO stakehold_cashier;
GRANT SELECT ON TABLE cashier.cases TO stakehold_reader;
GRANT SELECT ON TABLE cashier.cases TO stakehold_eraser;

GRANT UPDATE(state) ON TABLE cashier.cases TO stakehold_cashier;

GRANT UPDATE(accepted) ON TABLE cashier.cases TO stakehold_cashier;

GRANT UPDATE(attempt) ON TABLE cashier.cases TO stakehold_cashier;

GRANT UPDATE(first_approver) ON TABLE cashier.cases TO stakehold_cashier;

GRANT UPDATE(second_approver) ON TABLE cashier.cases TO stakehold_cashier;

GRANT UPDATE(reason) ON TABLE cashier.cases TO stakehold_eraser;

GRANT UPDATE(ending_reason) ON TABLE cashier.cases TO stakehold_cashier;
GRANT UPDATE(ending_reason) ON TABLE cashier.cases TO stakehold_eraser;

GRANT UPDATE(provider) ON TABLE cashier.cases TO stakehold_cashier;

GRANT UPDATE(provider_reference) ON TABLE cashier.cases TO stakehold_cashier;
GRANT UPDATE(provider_reference) ON TABLE cashier.cases TO stakehold_eraser;

GRANT UPDATE(chain) ON TABLE cashier.cases TO stakehold_cashier;

GRANT UPDATE(address) ON TABLE cashier.cases TO stakehold_cashier;
GRANT UPDATE(address) ON TABLE cashier.cases TO stakehold_eraser;

GRANT UPDATE(tx_hash) ON TABLE cashier.cases TO stakehold_cashier;
GRANT UPDATE(tx_hash) ON TABLE cashier.cases TO stakehold_eraser;

GRANT UPDATE(refusal) ON TABLE cashier.cases TO stakehold_cashier;

GRANT UPDATE(opening_entry_id) ON TABLE cashier.cases TO stakehold_cashier;

GRANT UPDATE(closing_entry_id) ON TABLE cashier.cases TO stakehold_cashier;

GRANT UPDATE(due_time) ON TABLE cashier.cases TO stakehold_cashier;

GRANT UPDATE(tries) ON TABLE cashier.cases TO stakehold_cashier;

GRANT UPDATE(changed_time) ON TABLE cashier.cases TO stakehold_cashier;

GRANT SELECT,INSERT ON TABLE cashier.messages TO stakehold_cashier;
GRANT SELECT ON TABLE cashier.messages TO stakehold_reader;
GRANT SELECT ON TABLE cashier.messages TO stakehold_eraser;

GRANT UPDATE(details) ON TABLE cashier.messages TO stakehold_eraser;

GRANT SELECT ON TABLE fx.pairs TO stakehold_reader;
GRANT SELECT ON TABLE fx.pairs TO stakehold_writer;
GRANT SELECT,INSERT,UPDATE ON TABLE fx.pairs TO stakehold_registrar;

GRANT SELECT ON TABLE fx.pivots TO stakehold_reader;
GRANT SELECT ON TABLE fx.pivots TO stakehold_writer;
GRANT SELECT,INSERT,DELETE ON TABLE fx.pivots TO stakehold_registrar;

GRANT SELECT ON TABLE fx.quote_keys TO stakehold_registrar;

GRANT SELECT ON TABLE fx.spreads TO stakehold_reader;
GRANT SELECT ON TABLE fx.spreads TO stakehold_writer;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE fx.spreads TO stakehold_registrar;

GRANT SELECT ON TABLE inbox.commands TO stakehold_reader;
GRANT SELECT,INSERT ON TABLE inbox.commands TO stakehold_inbox;
GRANT SELECT ON TABLE inbox.commands TO stakehold_eraser;

GRANT SELECT(submission_number) ON TABLE inbox.commands TO stakehold_pruner;

GRANT UPDATE(command) ON TABLE inbox.commands TO stakehold_eraser;
GRANT SELECT(command),UPDATE(command) ON TABLE inbox.commands TO stakehold_pruner;

GRANT UPDATE(state) ON TABLE inbox.commands TO stakehold_inbox;
GRANT SELECT(state) ON TABLE inbox.commands TO stakehold_pruner;

GRANT UPDATE(attempts) ON TABLE inbox.commands TO stakehold_inbox;

GRANT UPDATE(first_attempt_time) ON TABLE inbox.commands TO stakehold_inbox;

GRANT UPDATE(last_attempt_time) ON TABLE inbox.commands TO stakehold_inbox;

GRANT UPDATE(due_time) ON TABLE inbox.commands TO stakehold_inbox;

GRANT UPDATE(result) ON TABLE inbox.commands TO stakehold_inbox;

GRANT SELECT,INSERT ON TABLE inbox.origins TO stakehold_inbox;
GRANT SELECT ON TABLE inbox.origins TO stakehold_reader;
GRANT SELECT ON TABLE inbox.origins TO stakehold_eraser;

GRANT SELECT ON TABLE inbox.partitions TO stakehold_reader;
GRANT SELECT,INSERT ON TABLE inbox.partitions TO stakehold_inbox;
GRANT SELECT ON TABLE inbox.partitions TO stakehold_eraser;

GRANT UPDATE(lease) ON TABLE inbox.partitions TO stakehold_inbox;

GRANT UPDATE(leased_by) ON TABLE inbox.partitions TO stakehold_inbox;

GRANT UPDATE(leased_until) ON TABLE inbox.partitions TO stakehold_inbox;

GRANT SELECT ON TABLE inbox.pruned TO stakehold_reader;
GRANT SELECT ON TABLE inbox.pruned TO stakehold_eraser;
GRANT SELECT ON TABLE inbox.pruned TO stakehold_pruner;

GRANT UPDATE(finished_time) ON TABLE inbox.pruned TO stakehold_eraser;
GRANT UPDATE(finished_time) ON TABLE inbox.pruned TO stakehold_pruner;

GRANT UPDATE(submission_number) ON TABLE inbox.pruned TO stakehold_eraser;
GRANT UPDATE(submission_number) ON TABLE inbox.pruned TO stakehold_pruner;

GRANT USAGE ON SEQUENCE inbox.submission_numbers TO stakehold_inbox;

GRANT SELECT ON TABLE inbox.submissions TO stakehold_reader;
GRANT SELECT,INSERT ON TABLE inbox.submissions TO stakehold_inbox;
GRANT SELECT ON TABLE inbox.submissions TO stakehold_eraser;

GRANT SELECT(submission_number) ON TABLE inbox.submissions TO stakehold_pruner;

GRANT UPDATE(redrives) ON TABLE inbox.submissions TO stakehold_inbox;

GRANT UPDATE(finished_time) ON TABLE inbox.submissions TO stakehold_inbox;
GRANT SELECT(finished_time) ON TABLE inbox.submissions TO stakehold_pruner;

GRANT SELECT ON TABLE inbox.workers TO stakehold_reader;
GRANT SELECT,INSERT,DELETE ON TABLE inbox.workers TO stakehold_inbox;
GRANT SELECT ON TABLE inbox.workers TO stakehold_eraser;

GRANT UPDATE(seen_time) ON TABLE inbox.workers TO stakehold_inbox;

GRANT SELECT ON TABLE ledger.access_head TO stakehold_reader;
GRANT SELECT ON TABLE ledger.access_head TO stakehold_eraser;

GRANT SELECT ON TABLE ledger.accounts TO stakehold_reader;
GRANT SELECT,INSERT ON TABLE ledger.accounts TO stakehold_writer;
GRANT SELECT ON TABLE ledger.accounts TO stakehold_eraser;

GRANT SELECT,INSERT ON TABLE ledger.archives TO stakehold_writer;
GRANT SELECT ON TABLE ledger.archives TO stakehold_reader;

GRANT SELECT ON TABLE ledger.balances TO stakehold_reader;
GRANT SELECT ON TABLE ledger.balances TO stakehold_writer;
GRANT SELECT ON TABLE ledger.balances TO stakehold_eraser;

GRANT SELECT ON TABLE ledger.entries TO stakehold_reader;
GRANT SELECT,INSERT ON TABLE ledger.entries TO stakehold_writer;
GRANT SELECT ON TABLE ledger.entries TO stakehold_eraser;

GRANT UPDATE(metadata) ON TABLE ledger.entries TO stakehold_eraser;

GRANT UPDATE(metadata_salt) ON TABLE ledger.entries TO stakehold_eraser;

GRANT UPDATE(erasure_id) ON TABLE ledger.entries TO stakehold_eraser;

GRANT UPDATE(erased_hash) ON TABLE ledger.entries TO stakehold_eraser;

GRANT SELECT ON TABLE ledger.conversions TO stakehold_reader;
GRANT SELECT ON TABLE ledger.conversions TO stakehold_writer;
GRANT SELECT ON TABLE ledger.conversions TO stakehold_eraser;

GRANT SELECT ON TABLE ledger.drainers TO stakehold_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE ledger.drainers TO stakehold_writer;
GRANT SELECT ON TABLE ledger.drainers TO stakehold_eraser;

GRANT SELECT ON TABLE ledger.epochs TO stakehold_reader;
GRANT SELECT,INSERT ON TABLE ledger.epochs TO stakehold_writer;
GRANT SELECT ON TABLE ledger.epochs TO stakehold_eraser;

GRANT SELECT,INSERT ON TABLE ledger.erasures TO stakehold_eraser;
GRANT SELECT ON TABLE ledger.erasures TO stakehold_reader;
GRANT SELECT ON TABLE ledger.erasures TO stakehold_writer;

GRANT SELECT ON TABLE ledger.incidents TO stakehold_reader;
GRANT SELECT,INSERT ON TABLE ledger.incidents TO stakehold_writer;
GRANT SELECT ON TABLE ledger.incidents TO stakehold_eraser;

GRANT UPDATE(resolved_time) ON TABLE ledger.incidents TO stakehold_writer;

GRANT UPDATE(resolution) ON TABLE ledger.incidents TO stakehold_writer;

GRANT SELECT ON TABLE ledger.migrations TO stakehold_reader;
GRANT SELECT ON TABLE ledger.migrations TO stakehold_writer;
GRANT SELECT ON TABLE ledger.migrations TO stakehold_eraser;

GRANT SELECT ON TABLE ledger.open_rounds TO stakehold_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE ledger.open_rounds TO stakehold_writer;
GRANT SELECT ON TABLE ledger.open_rounds TO stakehold_registrar;
GRANT SELECT ON TABLE ledger.open_rounds TO stakehold_eraser;

GRANT SELECT ON TABLE ledger.partitions TO stakehold_reader;
GRANT SELECT ON TABLE ledger.partitions TO stakehold_writer;
GRANT SELECT ON TABLE ledger.partitions TO stakehold_publisher;
GRANT SELECT ON TABLE ledger.partitions TO stakehold_eraser;

GRANT UPDATE(epoch) ON TABLE ledger.partitions TO stakehold_writer;

GRANT UPDATE(state) ON TABLE ledger.partitions TO stakehold_writer;

GRANT UPDATE(cursor_epoch) ON TABLE ledger.partitions TO stakehold_writer;

GRANT UPDATE(cursor_sequence) ON TABLE ledger.partitions TO stakehold_writer;

GRANT UPDATE(entry_count) ON TABLE ledger.partitions TO stakehold_writer;

GRANT UPDATE(chain_hash) ON TABLE ledger.partitions TO stakehold_writer;

GRANT UPDATE(stopped_reason) ON TABLE ledger.partitions TO stakehold_writer;

GRANT UPDATE(updated_time) ON TABLE ledger.partitions TO stakehold_writer;

GRANT UPDATE(lease) ON TABLE ledger.partitions TO stakehold_writer;

GRANT UPDATE(leased_by) ON TABLE ledger.partitions TO stakehold_writer;

GRANT UPDATE(leased_until) ON TABLE ledger.partitions TO stakehold_writer;

GRANT SELECT ON TABLE ledger.postings TO stakehold_reader;
GRANT SELECT,INSERT ON TABLE ledger.postings TO stakehold_writer;
GRANT SELECT ON TABLE ledger.postings TO stakehold_eraser;

GRANT SELECT ON TABLE ledger.publications TO stakehold_reader;
GRANT SELECT,INSERT ON TABLE ledger.publications TO stakehold_publisher;
GRANT SELECT ON TABLE ledger.publications TO stakehold_eraser;

GRANT UPDATE("position") ON TABLE ledger.publications TO stakehold_publisher;

GRANT UPDATE(lease) ON TABLE ledger.publications TO stakehold_publisher;

GRANT UPDATE(leased_by) ON TABLE ledger.publications TO stakehold_publisher;

GRANT UPDATE(leased_until) ON TABLE ledger.publications TO stakehold_publisher;

GRANT UPDATE(updated_time) ON TABLE ledger.publications TO stakehold_publisher;

GRANT SELECT ON TABLE ledger.publishers TO stakehold_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE ledger.publishers TO stakehold_publisher;
GRANT SELECT ON TABLE ledger.publishers TO stakehold_eraser;

GRANT SELECT ON TABLE ledger.quarantine TO stakehold_reader;
GRANT SELECT,INSERT ON TABLE ledger.quarantine TO stakehold_writer;
GRANT SELECT ON TABLE ledger.quarantine TO stakehold_eraser;

GRANT UPDATE(fields) ON TABLE ledger.quarantine TO stakehold_writer;
GRANT UPDATE(fields) ON TABLE ledger.quarantine TO stakehold_eraser;
GRANT SELECT(fields),UPDATE(fields) ON TABLE ledger.quarantine TO stakehold_pruner;

GRANT UPDATE(reason) ON TABLE ledger.quarantine TO stakehold_writer;

GRANT UPDATE(problem) ON TABLE ledger.quarantine TO stakehold_writer;

GRANT UPDATE(quarantined_time) ON TABLE ledger.quarantine TO stakehold_writer;

GRANT UPDATE(resolved_time) ON TABLE ledger.quarantine TO stakehold_writer;
GRANT SELECT(resolved_time) ON TABLE ledger.quarantine TO stakehold_pruner;

GRANT SELECT ON TABLE ledger.repairs TO stakehold_reader;
GRANT SELECT,INSERT ON TABLE ledger.repairs TO stakehold_writer;
GRANT SELECT ON TABLE ledger.repairs TO stakehold_eraser;

GRANT UPDATE(metadata) ON TABLE ledger.repairs TO stakehold_eraser;

GRANT SELECT ON TABLE ledger.reviews TO stakehold_reader;
GRANT SELECT,INSERT ON TABLE ledger.reviews TO stakehold_writer;
GRANT SELECT ON TABLE ledger.reviews TO stakehold_registrar;
GRANT SELECT,INSERT ON TABLE ledger.reviews TO stakehold_cashier;
GRANT SELECT ON TABLE ledger.reviews TO stakehold_eraser;

GRANT UPDATE(resolved_time) ON TABLE ledger.reviews TO stakehold_registrar;

GRANT UPDATE(resolved_by) ON TABLE ledger.reviews TO stakehold_registrar;

GRANT UPDATE(note) ON TABLE ledger.reviews TO stakehold_registrar;
GRANT UPDATE(note) ON TABLE ledger.reviews TO stakehold_eraser;

GRANT SELECT ON TABLE ledger.round_progress TO stakehold_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE ledger.round_progress TO stakehold_writer;
GRANT SELECT ON TABLE ledger.round_progress TO stakehold_registrar;
GRANT SELECT ON TABLE ledger.round_progress TO stakehold_eraser;

GRANT SELECT ON TABLE ledger.salvaged TO stakehold_reader;
GRANT SELECT,INSERT ON TABLE ledger.salvaged TO stakehold_writer;
GRANT SELECT ON TABLE ledger.salvaged TO stakehold_eraser;

GRANT UPDATE(fields) ON TABLE ledger.salvaged TO stakehold_eraser;
GRANT SELECT(fields),UPDATE(fields) ON TABLE ledger.salvaged TO stakehold_pruner;

GRANT UPDATE(restored_time) ON TABLE ledger.salvaged TO stakehold_writer;
GRANT SELECT(restored_time) ON TABLE ledger.salvaged TO stakehold_pruner;

GRANT SELECT ON TABLE ledger.settings TO stakehold_reader;
GRANT SELECT ON TABLE ledger.settings TO stakehold_writer;
GRANT SELECT ON TABLE ledger.settings TO stakehold_inbox;
GRANT SELECT ON TABLE ledger.settings TO stakehold_cashier;
GRANT SELECT ON TABLE ledger.settings TO stakehold_eraser;

GRANT SELECT ON TABLE ledger.slips TO stakehold_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE ledger.slips TO stakehold_writer;
GRANT SELECT ON TABLE ledger.slips TO stakehold_registrar;
GRANT SELECT ON TABLE ledger.slips TO stakehold_eraser;

GRANT SELECT ON TABLE ledger.verifications TO stakehold_reader;
GRANT SELECT,INSERT ON TABLE ledger.verifications TO stakehold_writer;
GRANT SELECT ON TABLE ledger.verifications TO stakehold_eraser;

GRANT SELECT ON TABLE ledger.vouchers TO stakehold_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE ledger.vouchers TO stakehold_writer;
GRANT SELECT ON TABLE ledger.vouchers TO stakehold_eraser;

GRANT SELECT ON TABLE ledger.wallets TO stakehold_reader;
GRANT SELECT ON TABLE ledger.wallets TO stakehold_writer;
GRANT SELECT ON TABLE ledger.wallets TO stakehold_eraser;

GRANT SELECT,INSERT ON TABLE providers.callback_answers TO stakehold_callbacks;
GRANT SELECT ON TABLE providers.callback_answers TO stakehold_reader;

GRANT SELECT,INSERT ON TABLE providers.callback_duplicates TO stakehold_callbacks;
GRANT SELECT ON TABLE providers.callback_duplicates TO stakehold_reader;

GRANT UPDATE(times) ON TABLE providers.callback_duplicates TO stakehold_callbacks;

GRANT UPDATE(last_time) ON TABLE providers.callback_duplicates TO stakehold_callbacks;

GRANT SELECT,INSERT ON TABLE providers.callbacks TO stakehold_callbacks;

GRANT SELECT(callback_number) ON TABLE providers.callbacks TO stakehold_reader;

GRANT SELECT(provider_id) ON TABLE providers.callbacks TO stakehold_reader;

GRANT SELECT(method) ON TABLE providers.callbacks TO stakehold_reader;

GRANT SELECT(path) ON TABLE providers.callbacks TO stakehold_reader;

GRANT SELECT(body_digest) ON TABLE providers.callbacks TO stakehold_reader;

GRANT UPDATE(body) ON TABLE providers.callbacks TO stakehold_callbacks;
GRANT UPDATE(body) ON TABLE providers.callbacks TO stakehold_eraser;

GRANT UPDATE(headers) ON TABLE providers.callbacks TO stakehold_callbacks;
GRANT UPDATE(headers) ON TABLE providers.callbacks TO stakehold_eraser;

GRANT UPDATE(peer) ON TABLE providers.callbacks TO stakehold_callbacks;
GRANT UPDATE(peer) ON TABLE providers.callbacks TO stakehold_eraser;

GRANT SELECT(key_id) ON TABLE providers.callbacks TO stakehold_reader;

GRANT SELECT(request_id) ON TABLE providers.callbacks TO stakehold_reader;

GRANT SELECT(player_id) ON TABLE providers.callbacks TO stakehold_reader;
GRANT SELECT(player_id) ON TABLE providers.callbacks TO stakehold_eraser;

GRANT SELECT(transaction_id) ON TABLE providers.callbacks TO stakehold_reader;

GRANT SELECT(received_time) ON TABLE providers.callbacks TO stakehold_reader;

GRANT SELECT(recorded_time) ON TABLE providers.callbacks TO stakehold_reader;

GRANT SELECT(erased_time) ON TABLE providers.callbacks TO stakehold_reader;
GRANT UPDATE(erased_time) ON TABLE providers.callbacks TO stakehold_callbacks;
GRANT SELECT(erased_time),UPDATE(erased_time) ON TABLE providers.callbacks TO stakehold_eraser;

GRANT SELECT,INSERT ON TABLE providers.sessions TO stakehold_callbacks;

GRANT UPDATE(closed_time) ON TABLE providers.sessions TO stakehold_callbacks;

GRANT SELECT ON TABLE registry.currencies TO stakehold_reader;
GRANT SELECT,INSERT ON TABLE registry.currencies TO stakehold_registrar;

GRANT UPDATE(display_name) ON TABLE registry.currencies TO stakehold_registrar;

GRANT UPDATE(scale) ON TABLE registry.currencies TO stakehold_registrar;

GRANT UPDATE(kind) ON TABLE registry.currencies TO stakehold_registrar;

GRANT UPDATE(status) ON TABLE registry.currencies TO stakehold_registrar;

GRANT UPDATE(updated_time) ON TABLE registry.currencies TO stakehold_registrar;

GRANT SELECT ON TABLE registry.denominations TO stakehold_reader;
GRANT SELECT,INSERT ON TABLE registry.denominations TO stakehold_registrar;

GRANT SELECT ON TABLE registry.sources TO stakehold_reader;
GRANT SELECT,INSERT,UPDATE ON TABLE registry.sources TO stakehold_registrar;
