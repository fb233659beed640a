-- What the house has of each currency for others, and what it earned on the way.

-- house_fx_balances --
-- The house has an account in each partition: from the index of owners, whoever else has accounts.
SELECT currency, bucket, sum(balance) AS balance
FROM ledger.accounts
JOIN ledger.balances USING (account_id)
WHERE owner_kind = 'house' AND owner_id = '' AND bucket IN ('fx_position', 'fx_spread', 'fx_rounding')
GROUP BY currency, bucket;

-- fx_movements --
-- One row for a day, two currencies and a direction, of all conversions booked before a moment.
WITH house_accounts AS MATERIALIZED (
    SELECT account_id, bucket
    FROM ledger.accounts
    WHERE owner_kind = 'house' AND owner_id = '' AND bucket IN ('fx_position', 'fx_spread', 'fx_rounding')
)
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
        bucket,
        postings.currency,
        postings.amount
    FROM ledger.entries
    JOIN ledger.postings USING (partition, epoch, sequence, entry_index)
    JOIN house_accounts USING (account_id)
    WHERE conversion IS NOT NULL AND entry_type = 'applied' AND booked_time < $1
) AS legs
GROUP BY day, requested_currency, wallet_currency, is_paid
ORDER BY day, requested_currency, wallet_currency, is_paid;

-- rates_at_moments --
-- Each as it was known at its own moment.
SELECT asked.at_time, newest.*
FROM unnest($1::timestamptz[], $2::text[], $3::text[]) AS asked (at_time, base, quote)
CROSS JOIN LATERAL fx.rate_at(asked.base, asked.quote, asked.at_time, asked.at_time) AS newest;
