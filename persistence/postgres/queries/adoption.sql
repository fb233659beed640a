-- adoptable_partitions --
SELECT partition, epoch, state, cursor_epoch, cursor_sequence
FROM ledger.partitions
WHERE $1::integer[] IS NULL OR partition = ANY ($1)
ORDER BY partition;

-- lock_adoption --
SELECT pg_advisory_lock(hashtext('stakehold adoption'), $1::integer);

-- wait_for_adoption_lock --
SELECT set_config('lock_timeout', $1, false);

-- unlock_adoption --
SELECT pg_advisory_unlock(hashtext('stakehold adoption'), $1::integer);

-- lock_partition --
SELECT partition, epoch, state, cursor_epoch, cursor_sequence
FROM ledger.partitions
WHERE partition = $1
FOR NO KEY UPDATE;

-- epochs_of_partitions --
SELECT partition, epoch, follows_epoch, follows_sequence, generation, incarnation
FROM ledger.epochs
WHERE $1::integer[] IS NULL OR partition = ANY ($1)
ORDER BY partition, epoch;

-- other_vouchers --
SELECT server_id
FROM ledger.vouchers
WHERE partition = $1 AND incarnation = $2 AND server_id <> $3
    AND seen_time > now() - make_interval(secs => $4)
LIMIT 1;

-- start_epoch --
INSERT INTO ledger.epochs (partition, epoch, follows_epoch, follows_sequence, generation, incarnation, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- open_epoch --
UPDATE ledger.partitions SET epoch = $2, state = 'opening', updated_time = now() WHERE partition = $1;

-- epoch_is_open --
UPDATE ledger.partitions SET state = 'open', updated_time = now() WHERE partition = $1 AND epoch = $2;

-- raise_incident --
INSERT INTO ledger.incidents (
    incident_key, kind, partition, player_id, source_id, transaction_id, entry_id, description, told,
    told_fingerprint
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (incident_key) DO NOTHING;

-- vouch --
INSERT INTO ledger.vouchers AS stored (server_id, partition, incarnation)
SELECT $1, reached.partition, reached.incarnation
FROM unnest($2::integer[], $3::text[]) AS reached (partition, incarnation)
ON CONFLICT (server_id, partition) DO UPDATE SET incarnation = excluded.incarnation, seen_time = now();

-- vouch_no_more --
DELETE FROM ledger.vouchers WHERE server_id = $1 AND NOT partition = ANY ($2::integer[]);

-- forget_old_vouchers --
DELETE FROM ledger.vouchers WHERE seen_time < now() - interval '1 hour';

-- known_transactions --
SELECT entries.player_id, entries.source_id, entries.transaction_id, entry_type, fingerprint, epoch, sequence
FROM unnest($1::text[], $2::text[], $3::text[]) AS asked (player_id, source_id, transaction_id)
JOIN ledger.entries USING (player_id, source_id, transaction_id);

-- try_to_keep_house --
SELECT pg_try_advisory_lock(hashtext('stakehold housekeeping'), 0);

-- still_adopting --
-- As for housekeeping.
SELECT true;

-- still_keep_house --
-- The lock is there as long as the session that answers.
SELECT true;
