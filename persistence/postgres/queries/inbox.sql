-- Submissions and their commands, and whose turn it is to apply them.

-- begin_submission --
SELECT nextval('inbox.submission_numbers');

-- accept_submission --
WITH accepted AS (
    INSERT INTO inbox.submissions (submission_number, source_id, submission_id, digest, command_count)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT ON CONSTRAINT a_submission_id_is_used_once DO NOTHING
    RETURNING submission_number, source_id, submission_id, digest, command_count, accepted_time, redrives, finished_time
), origin AS (
    INSERT INTO inbox.origins (submission_number, submitted_by, trace_context)
    SELECT submission_number, $6, $7 FROM accepted
    RETURNING submission_number, submitted_by
)
SELECT
    submission_number, source_id, submission_id, digest, command_count, accepted_time, redrives, finished_time, submitted_by
FROM accepted
JOIN origin USING (submission_number);

-- submission --
SELECT
    submission_number, source_id, submission_id, digest, command_count, accepted_time, redrives, finished_time,
    coalesce(submitted_by, '') AS submitted_by
FROM inbox.submissions
LEFT JOIN inbox.origins USING (submission_number)
WHERE source_id = $1 AND submission_id = $2;

-- submission_counts --
SELECT
    count(*) FILTER (WHERE state = 'waiting') AS waiting,
    count(*) FILTER (WHERE state = 'waiting' AND attempts > 0) AS retrying,
    count(*) FILTER (WHERE state = 'applied') AS applied,
    count(*) FILTER (WHERE state = 'refused') AS refused,
    count(*) FILTER (WHERE state = 'dead') AS dead,
    coalesce(max(attempts), 0) AS most_attempts,
    max(last_attempt_time) FILTER (WHERE state <> 'waiting') AS last_decision_time,
    clock_timestamp() AS now
FROM inbox.commands
WHERE submission_number = $1;

-- list_submissions --
SELECT
    submission_number, source_id, submission_id, digest, command_count, accepted_time, redrives, finished_time,
    coalesce(submitted_by, '') AS submitted_by
FROM inbox.submissions
LEFT JOIN inbox.origins USING (submission_number)
WHERE submission_number < $1 AND ($2 = '' OR source_id = $2) AND (NOT $3 OR finished_time IS NULL)
ORDER BY submission_number DESC
LIMIT $4;

-- list_results --
SELECT
    submission_number, source_id, submission_id, command_index, player_id, transaction_id, state, attempts,
    last_attempt_time, due_time, result
FROM inbox.commands
JOIN inbox.submissions USING (submission_number)
WHERE submission_number = $1 AND command_index > $2 AND (cardinality($3::text[]) = 0 OR state = ANY ($3))
ORDER BY command_index
LIMIT $4;

-- list_dead_letters --
SELECT
    submission_number, source_id, submission_id, command_index, player_id, transaction_id, state, attempts,
    last_attempt_time, due_time, result, command
FROM inbox.commands
JOIN inbox.submissions USING (submission_number)
WHERE state = 'dead' AND (submission_number, command_index) > ($1, $2)
    AND ($3 = '' OR source_id = $3) AND ($4 = '' OR submission_id = $4)
ORDER BY submission_number, command_index
LIMIT $5;

-- lock_submission --
SELECT
    submission_number, source_id, submission_id, digest, command_count, accepted_time, redrives, finished_time,
    coalesce(submitted_by, '') AS submitted_by
FROM inbox.submissions
LEFT JOIN inbox.origins USING (submission_number)
WHERE source_id = $1 AND submission_id = $2
FOR NO KEY UPDATE OF submissions;

-- redrive_dead_letters --
WITH redriven AS (
    UPDATE inbox.commands SET
        state = 'waiting', attempts = 0, first_attempt_time = NULL, last_attempt_time = NULL, due_time = NULL
    WHERE submission_number = $1 AND state = 'dead'
        AND (cardinality($2::integer[]) = 0 OR command_index = ANY ($2))
    RETURNING 1
)
SELECT count(*) FROM redriven;

-- reopen_submission --
UPDATE inbox.submissions SET redrives = redrives + 1, finished_time = NULL WHERE submission_number = $1;

-- plant_inbox_partitions --
INSERT INTO inbox.partitions (partition) SELECT generate_series(0, $1::integer - 1) ON CONFLICT DO NOTHING;

-- see_worker --
WITH seen AS (
    INSERT INTO inbox.workers (worker_id, seen_time) VALUES ($1, clock_timestamp())
    ON CONFLICT (worker_id) DO UPDATE SET seen_time = excluded.seen_time
), gone AS (
    DELETE FROM inbox.workers
    WHERE worker_id IN (
        SELECT worker_id FROM inbox.workers
        WHERE worker_id <> $1 AND seen_time < clock_timestamp() - make_interval(secs => 100 * $2::double precision)
        FOR UPDATE SKIP LOCKED
    )
)
SELECT 1 + count(*) FROM inbox.workers
WHERE worker_id <> $1 AND seen_time > clock_timestamp() - make_interval(secs => $2);

-- retire_worker --
DELETE FROM inbox.workers WHERE worker_id = $1;

-- renew_inbox_leases --
UPDATE inbox.partitions SET leased_until = clock_timestamp() + make_interval(secs => $2)
WHERE partition IN (
    SELECT partition FROM inbox.partitions WHERE leased_by = $1 ORDER BY partition FOR NO KEY UPDATE
)
RETURNING partition, lease;

-- take_inbox_leases --
UPDATE inbox.partitions SET
    lease = lease + 1, leased_by = $1, leased_until = clock_timestamp() + make_interval(secs => $2)
WHERE partition IN (
    SELECT partition FROM inbox.partitions
    WHERE leased_by IS NULL OR leased_until < clock_timestamp()
    ORDER BY partition
    LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED
)
RETURNING partition, lease;

-- give_back_inbox_leases --
UPDATE inbox.partitions SET leased_by = NULL, leased_until = NULL
WHERE partition IN (
    SELECT partition FROM inbox.partitions
    WHERE leased_by = $1 AND partition = ANY ($2::integer[])
    ORDER BY partition
    FOR NO KEY UPDATE
);

-- unfinished_submissions --
SELECT submission_number, redrives, accepted_time, trace_context
FROM inbox.submissions
LEFT JOIN inbox.origins USING (submission_number)
WHERE finished_time IS NULL
ORDER BY submission_number
LIMIT $1;

-- waiting_commands --
SELECT
    submission_number, command_index, partition, player_id, command, attempts, first_attempt_time,
    extract(epoch FROM due_time - clock_timestamp())::double precision AS due_in_s
FROM inbox.commands
WHERE state = 'waiting' AND (submission_number, command_index) > ($1, $2) AND submission_number <= $3
    AND partition = ANY ($4::integer[])
ORDER BY submission_number, command_index
LIMIT $5;

-- waiting_commands_of_players --
SELECT next.*
FROM unnest($1::text[]) AS players (player_id)
CROSS JOIN LATERAL (
    SELECT
        submission_number, command_index, partition, player_id, command, attempts, first_attempt_time,
        extract(epoch FROM due_time - clock_timestamp())::double precision AS due_in_s
    FROM inbox.commands
    WHERE state = 'waiting' AND commands.player_id = players.player_id
    ORDER BY submission_number, command_index
    LIMIT $2
) AS next;

-- hold_inbox_leases --
SELECT partition, lease FROM inbox.partitions
JOIN unnest($2::integer[], $3::bigint[]) AS held (partition, lease) USING (partition, lease)
WHERE leased_by = $1
ORDER BY partition
FOR SHARE OF partitions;

-- record_attempts --
UPDATE inbox.commands SET
    state = made.state,
    attempts = made.attempts,
    first_attempt_time = made.first_attempt_time,
    last_attempt_time = made.last_attempt_time,
    due_time = CASE WHEN made.retry_in_s IS NULL THEN NULL
        ELSE clock_timestamp() + make_interval(secs => made.retry_in_s) END,
    result = made.result
FROM unnest(
    $1::bigint[], $2::integer[], $3::text[], $4::integer[], $5::timestamptz[], $6::timestamptz[],
    $7::double precision[], $8::bytea[]
) AS made (
    submission_number, command_index, state, attempts, first_attempt_time, last_attempt_time, retry_in_s, result
)
WHERE commands.submission_number = made.submission_number AND commands.command_index = made.command_index
    AND commands.state = 'waiting';

-- lock_unfinished_submission --
SELECT FROM inbox.submissions WHERE submission_number = $1 AND finished_time IS NULL FOR NO KEY UPDATE;

-- finish_submission --
UPDATE inbox.submissions SET finished_time = clock_timestamp()
WHERE submission_number = $1 AND NOT EXISTS (
    SELECT FROM inbox.commands WHERE commands.submission_number = $1 AND state = 'waiting'
)
RETURNING submission_number;

-- inbox_backlog --
SELECT
    (SELECT count(*) FROM inbox.commands WHERE state = 'waiting') AS waiting,
    (SELECT count(*) FROM inbox.commands WHERE state = 'waiting' AND due_time IS NOT NULL) AS retrying,
    (SELECT count(*) FROM inbox.commands WHERE state = 'dead') AS dead,
    coalesce((
        SELECT extract(epoch FROM clock_timestamp() - accepted_time)::double precision FROM inbox.submissions
        WHERE finished_time IS NULL ORDER BY submission_number LIMIT 1
    ), 0) AS oldest_s;
