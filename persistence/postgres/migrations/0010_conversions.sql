-- Amounts in another currency than the wallet's: what the caller named, and the rate that was locked for it.
-- Whatever does not know of the column leaves it out, and goes on.

ALTER TABLE ledger.entries ADD COLUMN conversion text;
COMMENT ON COLUMN ledger.entries.conversion IS
    'Of an amount that came in another currency: as the hash covers it. ledger.conversions shows its parts.';

ALTER TABLE ledger.repairs ADD COLUMN conversion text;

ALTER TABLE registry.sources ADD COLUMN foreign_currency text NOT NULL DEFAULT 'refuse'
    CONSTRAINT foreign_currencies_have_a_known_policy CHECK (foreign_currency IN ('refuse', 'convert'));

CREATE VIEW ledger.conversions AS
SELECT
    partition, epoch, sequence, entry_index, chain_position, entry_type, operation, player_id, source_id,
    transaction_id, kind, currency AS wallet_currency, amount AS wallet_amount, booked_time,
    parts[1] AS requested_currency,
    parts[2]::numeric(38, 0) AS requested_amount,
    parts[4] AS rate_origin,
    lock[3]::numeric * 10::numeric ^ lock[4]::integer AS rate,
    lock[5]::numeric * 10::numeric ^ lock[6]::integer AS mid_rate,
    lock[7] AS side,
    lock[8]::integer AS spread_bps,
    lock[9] AS rate_id,
    timestamptz 'epoch' + lock[10]::bigint * interval '1 millisecond' AS published_time,
    timestamptz 'epoch' + lock[11]::bigint * interval '1 millisecond' AS received_time
FROM ledger.entries
CROSS JOIN LATERAL string_to_array(conversion, ';') AS parts
CROSS JOIN LATERAL string_to_array(parts[3], ',') AS lock
WHERE conversion IS NOT NULL;
COMMENT ON VIEW ledger.conversions IS
    'Entries whose amount was converted. Rates are minor units of the wallet for a minor unit of the requested.';
GRANT SELECT ON ledger.conversions TO stakehold_reader, stakehold_writer;
