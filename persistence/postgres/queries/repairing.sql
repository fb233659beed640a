-- salvage_record --
INSERT INTO ledger.salvaged (partition, epoch, sequence, incarnation, fields, reason)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (partition, epoch, sequence, incarnation) DO NOTHING;

-- salvaged_in_places_of_history --
-- The ledger has a record in their place: the same one, or one that another store wrote in an epoch of that
-- number, with a ledger that is no more.
SELECT salvaged_id, partition, epoch, sequence, incarnation, fields, reason
FROM ledger.salvaged
WHERE restored_time IS NULL
    AND salvaged_id > $1
    AND EXISTS (
        SELECT FROM ledger.entries
        WHERE entries.partition = salvaged.partition
            AND entries.epoch = salvaged.epoch
            AND entries.sequence = salvaged.sequence
    )
ORDER BY salvaged_id
LIMIT $2;

-- records_to_restore --
-- Only once another epoch has cut them off, and its store is the one: the store before it knows their ids.
-- So is what has another record in its place, as another store than theirs is, or has become, the one.
SELECT salvaged_id, salvaged.partition, salvaged.epoch, sequence, incarnation, fields, reason
FROM ledger.salvaged
JOIN ledger.partitions ON partitions.partition = salvaged.partition AND partitions.state = 'open'
WHERE restored_time IS NULL
    AND salvaged_id > $1
    AND (
        EXISTS (
            SELECT FROM ledger.epochs
            WHERE epochs.partition = salvaged.partition
                AND epochs.epoch > salvaged.epoch
                AND (salvaged.epoch, salvaged.sequence) > (epochs.follows_epoch, epochs.follows_sequence)
        )
        OR (
            EXISTS (
                SELECT FROM ledger.entries
                WHERE entries.partition = salvaged.partition
                    AND entries.epoch = salvaged.epoch
                    AND entries.sequence = salvaged.sequence
            )
            AND EXISTS (
                SELECT FROM ledger.epochs
                WHERE epochs.partition = partitions.partition
                    AND epochs.epoch = partitions.epoch
                    AND (epochs.epoch > salvaged.epoch OR epochs.incarnation <> salvaged.incarnation)
            )
        )
    )
ORDER BY salvaged_id
LIMIT $2;

-- records_are_restored --
UPDATE ledger.salvaged SET restored_time = now() WHERE salvaged_id = ANY ($1::bigint[]);

-- late_duplicates_to_undo --
-- With what is owed for each, where it moved something. A caller's rollback undid the duplicate, and not the
-- first booking, where there was nothing left to undo of that: it was refused, or rolled back before.
SELECT
    incidents.incident_id, incidents.entry_id, incidents.partition, incidents.player_id,
    repairs.source_id, repairs.transaction_id, repairs.operation, repairs.kind, repairs.fingerprint,
    repairs.currency, repairs.amount::text, repairs.cash_change::text, repairs.bonus_change::text,
    repairs.held_change::text, repairs.receivable_change::text, repairs.game_id, repairs.round_id,
    repairs.reference_transaction_id, repairs.metadata::text, repairs.conversion,
    EXISTS (
        SELECT FROM ledger.entries
        WHERE entries.player_id = repairs.player_id
            AND entries.source_id = repairs.source_id
            AND entries.transaction_id = repairs.transaction_id
    ) AS is_booked,
    (
        SELECT undoing.transaction_id
        FROM ledger.entries AS duplicate
        JOIN ledger.entries AS first ON first.player_id = incidents.player_id
            AND first.source_id = incidents.source_id
            AND first.transaction_id = incidents.transaction_id
        JOIN ledger.entries AS undoing ON undoing.player_id = incidents.player_id
            AND undoing.source_id = incidents.source_id
            AND undoing.reference_transaction_id = incidents.transaction_id
            AND undoing.operation = 'rollback'
            AND undoing.entry_type = 'applied'
            AND undoing.chain_position > duplicate.chain_position
        WHERE duplicate.player_id = repairs.player_id
            AND duplicate.source_id = repairs.source_id
            AND duplicate.transaction_id = repairs.reference_transaction_id
            AND (
                first.entry_type <> 'applied'
                OR EXISTS (
                    SELECT FROM ledger.entries AS earlier
                    WHERE earlier.player_id = incidents.player_id
                        AND earlier.source_id = incidents.source_id
                        AND earlier.reference_transaction_id = incidents.transaction_id
                        AND earlier.operation = 'rollback'
                        AND earlier.entry_type = 'applied'
                        AND earlier.chain_position < duplicate.chain_position
                )
            )
            AND NOT EXISTS (
                SELECT FROM ledger.incidents AS told
                JOIN ledger.repairs AS owed USING (incident_id)
                JOIN ledger.entries AS later ON later.player_id = owed.player_id
                    AND later.source_id = owed.source_id
                    AND later.transaction_id = owed.reference_transaction_id
                WHERE told.player_id = incidents.player_id
                    AND told.source_id = incidents.source_id
                    AND told.transaction_id = incidents.transaction_id
                    AND later.chain_position > duplicate.chain_position
                    AND later.chain_position < undoing.chain_position
            )
        ORDER BY undoing.chain_position
        LIMIT 1
    ) AS undone_by
FROM ledger.incidents
LEFT JOIN ledger.repairs USING (incident_id)
WHERE incidents.kind = 'late_duplicate'
    AND incidents.entry_id IS NOT NULL
    AND incidents.resolved_time IS NULL
    AND incidents.incident_id > $1
ORDER BY incidents.incident_id
LIMIT $2;

-- resolve_incident --
UPDATE ledger.incidents SET resolved_time = now(), resolution = $2
WHERE incident_key = $1 AND resolved_time IS NULL;

-- open_incidents --
SELECT incident_id, kind, partition, player_id, source_id, transaction_id, entry_id, description, raised_time
FROM ledger.incidents
WHERE resolved_time IS NULL
ORDER BY incident_id
LIMIT $1;

-- count_open_incidents --
SELECT kind, count(*) AS count FROM ledger.incidents WHERE resolved_time IS NULL GROUP BY kind ORDER BY kind;

-- stopped_and_quarantined --
SELECT partition, stopped_reason, leased_by, leased_until > now() AS is_leased,
    (SELECT count(*) FROM ledger.quarantine WHERE quarantine.partition = partitions.partition
        AND resolved_time IS NULL) AS quarantined,
    (SELECT count(*) FROM ledger.salvaged WHERE salvaged.partition = partitions.partition
        AND restored_time IS NULL) AS salvaged
FROM ledger.partitions
ORDER BY partition;

-- count_pending_repairs --
SELECT count(*)
FROM ledger.repairs
JOIN ledger.incidents USING (incident_id)
WHERE incidents.resolved_time IS NULL;

-- resolve_quarantine --
UPDATE ledger.quarantine SET resolved_time = now() WHERE partition = $1 AND resolved_time IS NULL;

-- resolve_what_was_found_again --
UPDATE ledger.incidents
SET resolved_time = now(),
    resolution = format('booked again as entry %s-%s-%s-%s', entries.partition, epoch, sequence, entry_index)
FROM ledger.entries
WHERE incidents.kind = 'acknowledged_lost'
    AND incidents.resolved_time IS NULL
    AND entries.player_id = incidents.player_id
    AND entries.source_id = incidents.source_id
    AND entries.transaction_id = incidents.transaction_id
    AND (
        (entries.entry_type, entries.fingerprint) = (incidents.told, incidents.told_fingerprint)
        OR (entries.entry_type, incidents.told) = ('tombstone', 'refused')
    );
