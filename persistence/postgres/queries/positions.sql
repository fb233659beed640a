-- What the house has of each currency for others, and what it earned on the way.

-- house_fx_accounts --
-- The house has an account in each partition: from the index of owners, whoever else has accounts.
SELECT account_id, currency, bucket, balance
FROM ledger.accounts
JOIN ledger.balances USING (account_id)
WHERE owner_kind = 'house' AND owner_id = '' AND bucket IN ('fx_position', 'fx_spread', 'fx_rounding');

-- fx_movements --
-- One row for a day, two currencies and a direction, of all conversions booked before a moment. Each entry's
-- postings are looked up by its place, and only then told by their accounts: the OFFSETs keep the planner to
-- that order, which never reads the rest of the ledger, however it guesses.
SELECT
    day,
    requested_currency,
    wallet_currency,
    is_paid,
    coalesce(sum(amount) FILTER (WHERE bucket = 'fx_position' AND currency = requested_currency), 0) AS requested_amount,
    coalesce(sum(amount) FILTER (WHERE bucket = 'fx_position' AND currency = wallet_currency), 0) AS wallet_amount,
    coalesce(sum(amount) FILTER (WHERE bucket = 'fx_spread'), 0) AS spread,
    coalesce(sum(amount) FILTER (WHERE bucket = 'fx_rounding'), 0) AS rounding
FROM (
    SELECT
        (booked_time AT TIME ZONE 'UTC')::date AS day,
        split_part(conversion, ';', 1) AS requested_currency,
        entries.currency AS wallet_currency,
        cash_change + bonus_change + held_change - receivable_change < 0 AS is_paid,
        of_entry.*
    FROM ledger.entries
    CROSS JOIN LATERAL (
        SELECT account_id, postings.currency, postings.amount
        FROM ledger.postings
        WHERE partition = entries.partition AND epoch = entries.epoch
            AND sequence = entries.sequence AND entry_index = entries.entry_index
        OFFSET 0
    ) AS of_entry
    WHERE conversion IS NOT NULL AND entry_type = 'applied' AND booked_time < $1
    OFFSET 0
) AS legs
JOIN unnest($2::bigint[], $3::text[]) AS house (account_id, bucket) USING (account_id)
GROUP BY day, requested_currency, wallet_currency, is_paid
ORDER BY day, requested_currency, wallet_currency, is_paid;

-- rates_at_moments --
-- Each as it was known at its own moment.
SELECT asked.at_time, newest.*
FROM unnest($1::timestamptz[], $2::text[], $3::text[]) AS asked (at_time, base, quote)
CROSS JOIN LATERAL fx.rate_at(asked.base, asked.quote, asked.at_time, asked.at_time) AS newest;
