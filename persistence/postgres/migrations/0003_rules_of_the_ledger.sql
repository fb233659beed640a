-- What holds for every writer, whatever its program: append-only, balanced, contiguous, and balances that are
-- sums. The functions run as the owner of the ledger, so that nobody else needs to be able to write what
-- follows from entries and postings. They look rows up by index whatever the tables' statistics say: a plan
-- is kept for a connection's life, and made while the tables may still be empty.
--
-- That a posting's entry and account exist is checked here too. Foreign keys would check row by row, at a third
-- of the whole price of an entry; as neither entries nor accounts are ever deleted, once is enough.

CREATE FUNCTION ledger.refuse_to_rewrite() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% of ledger.% is refused: the ledger is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'the_ledger_is_append_only';
END
$$;

CREATE TRIGGER entries_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_to_rewrite();
CREATE TRIGGER postings_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.postings
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_to_rewrite();
CREATE TRIGGER accounts_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.accounts
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_to_rewrite();

CREATE FUNCTION ledger.require_postings_to_sum_to_zero() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
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

CREATE TRIGGER a_postings_sum_to_zero AFTER INSERT ON ledger.postings
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.require_postings_to_sum_to_zero();

CREATE FUNCTION ledger.require_postings_to_have_entries() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off
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

CREATE TRIGGER a_postings_have_entries AFTER INSERT ON ledger.postings
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.require_postings_to_have_entries();

CREATE FUNCTION ledger.add_postings_to_balances() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off
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

CREATE TRIGGER b_postings_add_to_balances AFTER INSERT ON ledger.postings
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.add_postings_to_balances();

CREATE FUNCTION ledger.advance_wallets() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off
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

CREATE TRIGGER entries_advance_wallets AFTER INSERT ON ledger.entries
    REFERENCING NEW TABLE AS inserted
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.advance_wallets();
