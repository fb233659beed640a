-- The cashier's cases, and what was said about them. What changes a case locks its row first.

-- open_case --
-- Nothing where there is a case of that name.
INSERT INTO cashier.cases (
    kind, source_id, case_id, player_id, partition, currency, amount, is_debit, state, accepted, needs_second_approval,
    opened_by, reason, corrected_entry_id, provider, provider_reference, chain, address, tx_hash, expires_time, due_time
)
VALUES (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
    CASE WHEN $21 THEN clock_timestamp() + interval '5 seconds' END
)
ON CONFLICT (kind, source_id, case_id) DO NOTHING
RETURNING *;

-- lock_case --
SELECT *, state = 'created' AND coalesce(expires_time <= clock_timestamp(), false) AS has_expired
FROM cashier.cases
WHERE kind = $1 AND source_id = $2 AND case_id = $3
FOR UPDATE;

-- read_case --
SELECT * FROM cashier.cases WHERE kind = $1 AND source_id = $2 AND case_id = $3;

-- save_case --
UPDATE cashier.cases SET
    state = $2,
    accepted = $3,
    attempt = $4,
    first_approver = $5,
    second_approver = $6,
    ending_reason = $7,
    provider = $8,
    provider_reference = $9,
    chain = $10,
    address = $11,
    tx_hash = $12,
    refusal = $13,
    opening_entry_id = $14,
    closing_entry_id = $15,
    due_time = CASE WHEN $16 THEN clock_timestamp() + interval '5 seconds' END,
    tries = 0,
    changed_time = clock_timestamp()
WHERE case_number = $1
RETURNING *;

-- note_case_refusal --
-- It stays under way: why it could not be done.
UPDATE cashier.cases SET refusal = $2 WHERE case_number = $1;

-- add_case_message --
INSERT INTO cashier.messages (case_number, message, told_by, is_accepted, state_before, state_after, details)
VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb);

-- case_messages --
SELECT * FROM cashier.messages WHERE case_number = $1 ORDER BY message_number;

-- claim_due_cases --
-- Those that are due longest, at most $1: nobody else claims them for a while, which grows with each try.
UPDATE cashier.cases SET
    tries = tries + 1,
    due_time = clock_timestamp() + least(interval '5 minutes', interval '2 seconds' * power(2, least(tries, 10)))
WHERE case_number IN (
    SELECT case_number FROM cashier.cases
    WHERE due_time <= now()
    ORDER BY due_time
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
RETURNING *;

-- expire_deposits --
WITH due AS (
    SELECT case_number FROM cashier.cases
    WHERE state = 'created' AND expires_time <= now()
    ORDER BY expires_time
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), expired AS (
    UPDATE cashier.cases SET
        state = 'expired', accepted = accepted || $2::text, changed_time = clock_timestamp()
    WHERE case_number IN (SELECT case_number FROM due)
    RETURNING case_number
)
INSERT INTO cashier.messages (case_number, message, told_by, is_accepted, state_before, state_after, details)
SELECT case_number, $2, $3, true, 'created', 'expired', '{}' FROM expired
RETURNING case_number;

-- list_cases --
SELECT *
FROM cashier.cases
WHERE kind = $1
    AND ($2 = '' OR source_id = $2)
    AND (cardinality($3::text[]) = 0 OR state = ANY ($3::text[]))
    AND case_number < $4
ORDER BY case_number DESC
LIMIT $5;

-- list_cases_of_player --
SELECT *
FROM cashier.cases
WHERE kind = $1
    AND ($2 = '' OR source_id = $2)
    AND (cardinality($3::text[]) = 0 OR state = ANY ($3::text[]))
    AND case_number < $4
    AND player_id = $6
ORDER BY case_number DESC
LIMIT $5;

-- raise_cashier_review --
INSERT INTO ledger.reviews (
    review_key, kind, partition, player_id, source_id, transaction_id, action_transaction_id, entry_id, game_id,
    round_id, description
)
VALUES ($1, $2, $3, $4, $5, $6, '', $7, '', '', $8)
ON CONFLICT (review_key) DO NOTHING;

-- count_cases_under_way --
SELECT
    count(*) AS waiting,
    coalesce(extract(epoch FROM clock_timestamp() - min(changed_time)), 0)::float AS oldest_s
FROM cashier.cases
WHERE due_time IS NOT NULL;
