-- acquire_partitions --
WITH candidates AS MATERIALIZED (
    SELECT partition FROM ledger.partitions
    WHERE partition = ANY ($1::integer[]) AND state = 'open' AND stopped_reason IS NULL
    ORDER BY partition
)
SELECT partition FROM candidates WHERE pg_try_advisory_lock(hashtext('stakehold drainer'), partition);

-- release_partition --
SELECT pg_advisory_unlock(hashtext('stakehold drainer'), $1::integer);

-- partition_states --
SELECT partition, epoch, cursor_epoch, cursor_sequence, entry_count, chain_hash,
    epochs, follow_epochs, follow_sequences, generations, incarnations
FROM ledger.partitions
CROSS JOIN LATERAL (
    SELECT
        coalesce(array_agg(epochs.epoch), '{}') AS epochs,
        coalesce(array_agg(follows_epoch), '{}') AS follow_epochs,
        coalesce(array_agg(follows_sequence), '{}') AS follow_sequences,
        coalesce(array_agg(generation), '{}') AS generations,
        coalesce(array_agg(incarnation), '{}') AS incarnations
    FROM ledger.epochs
    WHERE epochs.partition = partitions.partition AND epochs.epoch BETWEEN cursor_epoch AND partitions.epoch
) AS starts
WHERE partition = ANY ($1::integer[])
ORDER BY partition;

-- lock_partitions --
SELECT partition, epoch, cursor_epoch, cursor_sequence, entry_count, chain_hash
FROM ledger.partitions
WHERE partition = ANY ($1::integer[])
ORDER BY partition
FOR NO KEY UPDATE;

-- resolve_accounts --
WITH wanted AS (
    SELECT * FROM unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::text[])
        AS wanted (partition, owner_kind, owner_id, bucket, currency)
), added AS (
    INSERT INTO ledger.accounts (partition, owner_kind, owner_id, bucket, currency)
    SELECT partition, owner_kind, owner_id, bucket, currency
    FROM wanted
    WHERE NOT EXISTS (
        SELECT FROM ledger.accounts
        WHERE (accounts.owner_kind, accounts.owner_id, accounts.currency, accounts.bucket, accounts.partition)
            = (wanted.owner_kind, wanted.owner_id, wanted.currency, wanted.bucket, wanted.partition)
    )
    RETURNING account_id, partition, owner_kind, owner_id, bucket, currency
)
SELECT account_id, partition, owner_kind, owner_id, bucket, currency FROM added
UNION ALL
SELECT account_id, partition, owner_kind, owner_id, bucket, currency
FROM ledger.accounts
JOIN wanted USING (owner_kind, owner_id, currency, bucket, partition);

-- drifted_wallet --
SELECT expected.player_id, expected.currency,
    expected.cash AS expected_cash, expected.bonus AS expected_bonus,
    expected.held AS expected_held, expected.receivable AS expected_receivable,
    found.cash, found.bonus, found.held, found.receivable
FROM unnest(
    $1::text[], $2::text[], $3::text[]::numeric[], $4::text[]::numeric[], $5::text[]::numeric[], $6::text[]::numeric[]
) AS expected (player_id, currency, cash, bonus, held, receivable)
CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(balance) FILTER (WHERE bucket = 'cash'), 0) AS cash,
        coalesce(sum(balance) FILTER (WHERE bucket = 'bonus'), 0) AS bonus,
        coalesce(sum(balance) FILTER (WHERE bucket = 'held'), 0) AS held,
        coalesce(-sum(balance) FILTER (WHERE bucket = 'receivable'), 0) AS receivable
    FROM ledger.accounts
    JOIN ledger.balances USING (account_id)
    WHERE owner_kind = 'player' AND owner_id = expected.player_id AND currency = expected.currency
) AS found
WHERE (found.cash, found.bonus, found.held, found.receivable)
    <> (expected.cash, expected.bonus, expected.held, expected.receivable)
LIMIT 1;

-- move_cursors --
WITH moved AS (
    SELECT * FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])
        AS moved (partition, cursor_epoch, cursor_sequence, entry_count, chain_hash)
), resolved AS (
    UPDATE ledger.quarantine SET resolved_time = now()
    FROM moved
    WHERE resolved_time IS NULL
        AND quarantine.partition = moved.partition
        AND (quarantine.epoch, quarantine.sequence) <= (moved.cursor_epoch, moved.cursor_sequence)
)
UPDATE ledger.partitions SET
    cursor_epoch = moved.cursor_epoch,
    cursor_sequence = moved.cursor_sequence,
    entry_count = moved.entry_count,
    chain_hash = moved.chain_hash,
    updated_time = now()
FROM moved
WHERE partitions.partition = moved.partition;

-- quarantine_record --
INSERT INTO ledger.quarantine (partition, epoch, sequence, fields, reason, problem)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (partition, epoch, sequence) WHERE resolved_time IS NULL DO UPDATE SET
    fields = excluded.fields,
    reason = excluded.reason,
    problem = excluded.problem,
    quarantined_time = excluded.quarantined_time;

-- stop_partition --
UPDATE ledger.partitions SET stopped_reason = $2, updated_time = now() WHERE partition = $1;

-- redrive_partition --
UPDATE ledger.partitions SET stopped_reason = NULL, updated_time = now()
WHERE partition = $1 AND stopped_reason IS NOT NULL;

-- stopped_partitions --
SELECT partition, coalesce(stopped_reason, 'the ledger has not opened it, the partition is ' || state) AS reason
FROM ledger.partitions
WHERE stopped_reason IS NOT NULL OR state <> 'open'
ORDER BY partition;

-- partition_openings --
SELECT partition, epoch, state, cursor_epoch, cursor_sequence FROM ledger.partitions ORDER BY partition;

-- set_partition_state --
UPDATE ledger.partitions SET state = $2, updated_time = now() WHERE partition = $1;

-- lock_openings --
SELECT pg_advisory_lock(hashtextextended('stakehold partition openings', 0));

-- unlock_openings --
SELECT pg_advisory_unlock(hashtextextended('stakehold partition openings', 0));
