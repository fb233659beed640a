-- What an erasure of a player's personal data looks for, and takes away. $1 is the player.

-- what_is_open_of_a_player --
SELECT what, count
FROM (
    SELECT 'submitted commands wait to be applied' AS what, count(*) AS count
    FROM inbox.commands WHERE player_id = $1 AND state = 'waiting'
    UNION ALL
    SELECT 'cases of the cashier have not ended', count(*)
    FROM cashier.cases
    WHERE player_id = $1 AND state NOT IN (
        'credited', 'failed', 'expired', 'charged_back', 'refused', 'paid', 'rejected', 'cancelled', 'applied'
    )
    UNION ALL
    SELECT 'salvaged records wait to be booked again', count(*)
    FROM ledger.salvaged WHERE fields[6] = convert_to($1, 'UTF8') AND restored_time IS NULL
    UNION ALL
    SELECT 'records are in quarantine', count(*)
    FROM ledger.quarantine WHERE fields[6] = convert_to($1, 'UTF8') AND resolved_time IS NULL
    UNION ALL
    SELECT 'repairs are under way', count(*)
    FROM ledger.repairs WHERE player_id = $1 AND NOT EXISTS (
        SELECT FROM ledger.entries
        WHERE (entries.player_id, entries.source_id, entries.transaction_id)
            = (repairs.player_id, repairs.source_id, repairs.transaction_id)
    )
    UNION ALL
    SELECT 'reviews are not resolved', count(*)
    FROM ledger.reviews WHERE player_id = $1 AND resolved_time IS NULL
) AS found
WHERE count > 0;

-- entries_to_erase --
SELECT entries.* FROM ledger.entries
WHERE player_id = $1
    AND erasure_id IS NULL
    AND CASE WHEN source_id = 'stakehold' THEN metadata - 'stakehold.source' ELSE metadata END <> '{}'
ORDER BY partition, chain_position;

-- record_erasure --
INSERT INTO ledger.erasures (player_id, erased_by, reason, entry_count) VALUES ($1, $2, $3, $4)
RETURNING erasure_id;

-- erase_entries --
UPDATE ledger.entries SET
    metadata = CASE
        WHEN entries.source_id = 'stakehold' AND entries.metadata ? 'stakehold.source'
            THEN jsonb_build_object('stakehold.source', entries.metadata -> 'stakehold.source')
        ELSE '{}'
    END,
    metadata_salt = NULL,
    erasure_id = $1,
    erased_hash = gone.erased_hash
FROM unnest($2::integer[], $3::bigint[], $4::bytea[]) AS gone (partition, chain_position, erased_hash)
WHERE entries.partition = gone.partition
    AND entries.chain_position = gone.chain_position
    AND entries.erasure_id IS NULL;

-- erase_salvaged --
UPDATE ledger.salvaged SET fields = '{}' WHERE fields[6] = convert_to($1, 'UTF8');

-- erase_quarantined --
UPDATE ledger.quarantine SET fields = '{}' WHERE fields[6] = convert_to($1, 'UTF8');

-- erase_repairs --
UPDATE ledger.repairs
SET metadata = jsonb_build_object('stakehold.source', metadata -> 'stakehold.source')
WHERE player_id = $1 AND metadata ? 'stakehold.source' AND metadata - 'stakehold.source' <> '{}';

-- erase_reviews --
UPDATE ledger.reviews SET note = 'erased' WHERE player_id = $1 AND note <> 'erased';

-- erase_cases --
UPDATE cashier.cases SET reason = '', ending_reason = '', address = ''
WHERE player_id = $1 AND (reason, ending_reason, address) <> ('', '', '');

-- erase_messages --
UPDATE cashier.messages SET details = '{}'
FROM cashier.cases
WHERE cases.case_number = messages.case_number AND player_id = $1 AND details <> '{}';

-- erase_callbacks --
UPDATE providers.callbacks SET body = NULL, headers = NULL, peer = NULL, erased_time = clock_timestamp()
WHERE player_id = $1 AND erased_time IS NULL;

-- commands_of_a_player --
SELECT submission_number, command_index, command FROM inbox.commands WHERE player_id = $1;

-- erase_commands --
UPDATE inbox.commands SET command = stripped.command
FROM unnest($1::bigint[], $2::integer[], $3::bytea[]) AS stripped (submission_number, command_index, command)
WHERE commands.submission_number = stripped.submission_number
    AND commands.command_index = stripped.command_index;
