-- salvage_record --
INSERT INTO ledger.salvaged (partition, epoch, sequence, incarnation, fields, reason)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (partition, epoch, sequence, incarnation) DO NOTHING;

-- records_to_restore --
-- Only once another epoch has cut them off, and its store is the one: the store before it knows their ids.
SELECT salvaged_id, salvaged.partition, salvaged.epoch, sequence, incarnation, fields, reason
FROM ledger.salvaged
JOIN ledger.partitions ON partitions.partition = salvaged.partition AND partitions.state = 'open'
WHERE restored_time IS NULL
    AND EXISTS (
        SELECT FROM ledger.epochs
        WHERE epochs.partition = salvaged.partition
            AND epochs.epoch > salvaged.epoch
            AND (salvaged.epoch, salvaged.sequence) > (epochs.follows_epoch, epochs.follows_sequence)
    )
ORDER BY salvaged_id
LIMIT $1;

-- record_is_restored --
UPDATE ledger.salvaged SET restored_time = now() WHERE salvaged_id = $1;

-- pending_repairs --
SELECT
    repairs.player_id, repairs.source_id, repairs.transaction_id, repairs.partition, repairs.incident_id,
    repairs.operation, repairs.kind, repairs.fingerprint, repairs.currency, repairs.amount::text,
    repairs.cash_change::text, repairs.bonus_change::text, repairs.held_change::text,
    repairs.receivable_change::text, repairs.game_id, repairs.round_id, repairs.reference_transaction_id,
    repairs.metadata::text, entries.epoch IS NOT NULL AS is_booked
FROM ledger.repairs
JOIN ledger.incidents USING (incident_id)
LEFT JOIN ledger.entries ON entries.player_id = repairs.player_id
    AND entries.source_id = repairs.source_id AND entries.transaction_id = repairs.transaction_id
WHERE incidents.resolved_time IS NULL
ORDER BY repairs.incident_id
LIMIT $1;

-- resolve_incident --
UPDATE ledger.incidents SET resolved_time = now(), resolution = $2
WHERE incident_id = $1 AND resolved_time IS NULL;

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
    AND entries.entry_type = ANY (incidents.stands_as);
