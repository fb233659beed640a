-- Callbacks of providers, and the sessions that they name.

-- record_callback --
-- No row: somebody else was about to record the very same one, and has by now.
WITH new AS (
    INSERT INTO providers.callbacks (
        provider_id, method, path, body_digest, body, headers, peer, key_id, request_id, player_id, transaction_id,
        received_time
    ) VALUES ($1, $2, $3, $4, $5, $6::text::jsonb, $7, $8, $9, $10, $11, $12)
    ON CONFLICT (provider_id, path, body_digest, method) DO NOTHING
    RETURNING callback_number
), known AS (
    SELECT callback_number FROM providers.callbacks
    WHERE provider_id = $1 AND path = $3 AND body_digest = $4 AND method = $2 AND NOT EXISTS (SELECT FROM new)
), counted AS (
    INSERT INTO providers.callback_duplicates (callback_number, times, last_time)
    SELECT callback_number, 1, clock_timestamp() FROM known
    ON CONFLICT (callback_number) DO UPDATE SET times = callback_duplicates.times + 1, last_time = excluded.last_time
)
SELECT callback_number, false AS is_duplicate FROM new
UNION ALL
SELECT callback_number, true FROM known;

-- note_answers --
INSERT INTO providers.callback_answers (callback_number, outcome, status_code, body_digest, answered_time)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::bytea[], $5::timestamptz[]);

-- erase_old_callbacks --
WITH old AS (
    SELECT callback_number FROM providers.callbacks
    WHERE erased_time IS NULL AND recorded_time < clock_timestamp() - make_interval(secs => $1::double precision)
    ORDER BY recorded_time
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
UPDATE providers.callbacks SET body = NULL, headers = NULL, peer = NULL, erased_time = clock_timestamp()
FROM old WHERE callbacks.callback_number = old.callback_number
RETURNING callbacks.callback_number;

-- open_session --
INSERT INTO providers.sessions (token_digest, provider_id, player_id, currency_code, game_id, expire_time)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (token_digest) DO NOTHING
RETURNING *;

-- session --
SELECT * FROM providers.sessions WHERE token_digest = $1;

-- close_session --
UPDATE providers.sessions SET closed_time = coalesce(closed_time, clock_timestamp())
WHERE token_digest = $1
RETURNING *;
