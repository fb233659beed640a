-- Archives of months, and what is taken away after a time.

-- archived_up_to --
SELECT partition, max(end_position) AS end_position, max(month) AS month FROM ledger.archives GROUP BY partition;

-- archives --
SELECT partition, first_position, file, manifest_digest FROM ledger.archives WHERE key_id = $1
ORDER BY partition, first_position;

-- booked_at_position --
SELECT booked_time FROM ledger.entries WHERE partition = $1 AND chain_position = $2;

-- record_archive --
INSERT INTO ledger.archives (
    partition, first_position, end_position, month, file, manifest_digest, last_hash, key_id
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- submission_to_prune --
WITH pruned AS (SELECT finished_time, submission_number FROM inbox.pruned FOR UPDATE SKIP LOCKED)
SELECT submissions.submission_number, submissions.finished_time
FROM pruned, inbox.submissions
WHERE (submissions.finished_time, submissions.submission_number) > (pruned.finished_time, pruned.submission_number)
    AND submissions.finished_time < clock_timestamp() - make_interval(secs => $1::double precision)
ORDER BY submissions.finished_time, submissions.submission_number
LIMIT 1;

-- prune_commands --
UPDATE inbox.commands SET command = ''
WHERE submission_number = $1 AND state IN ('applied', 'refused') AND command <> '';

-- submission_is_pruned --
UPDATE inbox.pruned SET submission_number = $1, finished_time = $2;

-- prune_salvaged --
UPDATE ledger.salvaged SET fields = '{}'
WHERE restored_time < clock_timestamp() - make_interval(secs => $1::double precision) AND fields <> '{}';

-- prune_quarantined --
UPDATE ledger.quarantine SET fields = '{}'
WHERE resolved_time < clock_timestamp() - make_interval(secs => $1::double precision) AND fields <> '{}';
