-- Queries of the access log.

-- record_access --
-- Writes records ($1, a JSON array), in their order, but for those that are there already.
INSERT INTO ledger.access_log (
    record_id, kind, call_id, caller, identified_by, claimed, peer, method, verb, source_id, player_id, transaction_id,
    details, why, code, reason, count, first_time, last_time, server_id
)
SELECT
    record_id, kind, call_id, caller, identified_by, claimed, peer, method, verb, source_id, player_id, transaction_id,
    details, why, code, reason, count, first_time, last_time, server_id
FROM ROWS FROM (
    jsonb_to_recordset($1::jsonb) AS (
        record_id uuid, kind text, call_id text, caller text, identified_by text, claimed text, peer text, method text,
        verb text, source_id text, player_id text, transaction_id text, details jsonb, why text, code text, reason text,
        count bigint, first_time timestamptz, last_time timestamptz, server_id text
    )
) WITH ORDINALITY AS given (
    record_id, kind, call_id, caller, identified_by, claimed, peer, method, verb, source_id, player_id, transaction_id,
    details, why, code, reason, count, first_time, last_time, server_id, place
)
WHERE NOT EXISTS (SELECT FROM ledger.access_log AS written WHERE written.record_id = given.record_id)
ORDER BY place;

-- plan_by_arguments --
-- Until the transaction's end: which index serves a list depends on its filters.
SET LOCAL plan_cache_mode = force_custom_plan;

-- list_access_records --
SELECT *
FROM ledger.access_log
WHERE position < $1
    AND ($2 = '' OR caller = $2)
    AND ($3 = '' OR method = $3)
    AND (cardinality($4::text[]) = 0 OR kind = ANY ($4))
    AND ($5 = '' OR code = $5)
    AND ($6 = '' OR player_id = $6)
    AND ($7 = '' OR call_id = $7)
    AND ($8::timestamptz IS NULL OR recorded_time >= $8)
    AND ($9::timestamptz IS NULL OR recorded_time < $9)
ORDER BY position DESC
LIMIT $10;
