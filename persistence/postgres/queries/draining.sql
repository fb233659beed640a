-- see_drainer --
WITH seen AS (
    INSERT INTO ledger.drainers (drainer_id, seen_time, reads) VALUES ($1, clock_timestamp(), $3)
    ON CONFLICT (drainer_id) DO UPDATE SET seen_time = excluded.seen_time, reads = excluded.reads
), gone AS (
    DELETE FROM ledger.drainers
    WHERE drainer_id IN (
        SELECT drainer_id FROM ledger.drainers
        WHERE drainer_id <> $1 AND seen_time < clock_timestamp() - make_interval(secs => 100 * $2::double precision)
        FOR UPDATE SKIP LOCKED
    )
)
SELECT 1 + count(*) FROM ledger.drainers
WHERE drainer_id <> $1 AND seen_time > clock_timestamp() - make_interval(secs => $2);

-- drainers_that_read_less --
SELECT count(*) FROM ledger.drainers
WHERE reads < $1 AND seen_time > clock_timestamp() - make_interval(secs => $2);

-- retire_drainer --
DELETE FROM ledger.drainers WHERE drainer_id = $1;

-- sessions_of_silent_drainers --
WITH silent AS (
    SELECT DISTINCT 'stakehold drain ' || leased_by AS application
    FROM ledger.partitions
    LEFT JOIN ledger.drainers ON drainer_id = leased_by
    WHERE partition = ANY ($1::integer[])
        AND leased_until < clock_timestamp()
        AND (seen_time IS NULL OR seen_time < clock_timestamp() - make_interval(secs => $2))
)
SELECT pid FROM pg_stat_activity JOIN silent ON application_name = application
WHERE datname = current_database();

-- as_who_logged_in --
SET LOCAL ROLE NONE;

-- end_sessions --
SELECT pg_terminate_backend(pid) FROM unnest($1::integer[]) AS sessions (pid);

-- renew_leases --
WITH own AS (
    SELECT partition FROM ledger.partitions
    WHERE partition = ANY ($2::integer[]) AND leased_by = $1
    ORDER BY partition
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE ledger.partitions SET leased_until = clock_timestamp() + make_interval(secs => $3)
FROM own
WHERE partitions.partition = own.partition;

-- take_leases --
WITH free AS (
    SELECT partition FROM ledger.partitions
    WHERE partition = ANY ($2::integer[])
        AND state = 'open'
        AND stopped_reason IS NULL
        AND (leased_by IS NULL OR leased_by = $1 OR leased_until < clock_timestamp())
    ORDER BY leased_by = $1 DESC NULLS LAST, partition
    LIMIT $4
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE ledger.partitions SET
    lease = lease + 1,
    leased_by = $1,
    leased_until = clock_timestamp() + make_interval(secs => $3)
FROM free
WHERE partitions.partition = free.partition
RETURNING partitions.partition;

-- give_back_leases --
WITH own AS (
    SELECT partition FROM ledger.partitions
    WHERE leased_by = $1 AND ($2::integer[] IS NULL OR partition = ANY ($2))
    ORDER BY partition
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE ledger.partitions SET leased_by = NULL, leased_until = NULL
FROM own
WHERE partitions.partition = own.partition;

-- partition_states --
SELECT partition, epoch, state, stopped_reason, cursor_epoch, cursor_sequence, entry_count, chain_hash,
    lease, leased_by, leased_by IS NULL OR leased_until < clock_timestamp() AS is_free,
    epochs, follow_epochs, follow_sequences
FROM ledger.partitions
CROSS JOIN LATERAL (
    SELECT
        coalesce(array_agg(epochs.epoch), '{}') AS epochs,
        coalesce(array_agg(follows_epoch), '{}') AS follow_epochs,
        coalesce(array_agg(follows_sequence), '{}') AS follow_sequences
    FROM ledger.epochs
    WHERE epochs.partition = partitions.partition AND epochs.epoch BETWEEN cursor_epoch AND partitions.epoch
) AS starts
WHERE $1::integer[] IS NULL OR partition = ANY ($1)
ORDER BY partition;

-- lock_partitions --
SELECT partition, epoch, cursor_epoch, cursor_sequence, entry_count, chain_hash, lease, leased_by
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
    leased_until = clock_timestamp() + make_interval(secs => $6),
    updated_time = now()
FROM moved
WHERE partitions.partition = moved.partition;

-- standing_transactions --
SELECT player_id, source_id, transaction_id, partition, epoch, sequence, entry_index, fingerprint
FROM unnest($1::text[], $2::text[], $3::text[]) AS asked (player_id, source_id, transaction_id)
JOIN ledger.entries USING (player_id, source_id, transaction_id);

-- record_late_duplicates --
WITH found AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset($1::jsonb) AS found (
        entry_id text, partition integer, player_id text, source_id text, transaction_id text, description text,
        repair_source_id text, repair_transaction_id text, operation text, kind text, fingerprint text,
        currency text, amount numeric, cash_change numeric, bonus_change numeric, held_change numeric,
        receivable_change numeric, game_id text, round_id text, reference_transaction_id text, metadata text,
        conversion text
    )
), raised AS (
    INSERT INTO ledger.incidents (
        incident_key, kind, partition, player_id, source_id, transaction_id, entry_id, description
    )
    SELECT
        'late_duplicate ' || entry_id, 'late_duplicate', partition, player_id, source_id, transaction_id,
        entry_id, description
    FROM found
    RETURNING incident_id, entry_id
)
INSERT INTO ledger.repairs (
    player_id, source_id, transaction_id, partition, incident_id, operation, kind, fingerprint, currency, amount,
    cash_change, bonus_change, held_change, receivable_change, game_id, round_id, reference_transaction_id,
    metadata, conversion
)
SELECT
    player_id, repair_source_id, repair_transaction_id, partition, incident_id, operation, kind, fingerprint,
    currency, amount, cash_change, bonus_change, held_change, receivable_change, game_id, round_id,
    reference_transaction_id, metadata::jsonb, conversion
FROM found
JOIN raised USING (entry_id)
WHERE repair_transaction_id IS NOT NULL;

-- record_slips --
-- What opened a slip says what stays; an older version never comes after a newer one.
INSERT INTO ledger.slips (
    player_id, source_id, slip_id, partition, kind, currency, slip_currency, version, state, held, staked, live,
    paid, cashed, held_worth, live_worth, paid_worth, expires_time, opened_time, changed_time, last_transaction_id,
    undone_by_transaction_id
)
SELECT
    player_id, source_id, slip_id, partition, kind, currency, slip_currency, version, state, held, staked, live,
    paid, cashed, held_worth, live_worth, paid_worth, expires_time, opened_time, changed_time, last_transaction_id,
    undone_by_transaction_id
FROM jsonb_to_recordset($1::jsonb) AS changed (
    player_id text, source_id text, slip_id text, partition integer, kind text, currency text,
    slip_currency text, version bigint, state text, held numeric, staked numeric, live numeric, paid numeric,
    cashed numeric, held_worth numeric, live_worth numeric, paid_worth numeric, expires_time timestamptz,
    opened_time timestamptz, changed_time timestamptz, last_transaction_id text, undone_by_transaction_id text
)
ON CONFLICT (player_id, source_id, slip_id) DO UPDATE SET
    version = excluded.version,
    state = excluded.state,
    held = excluded.held,
    staked = excluded.staked,
    live = excluded.live,
    paid = excluded.paid,
    cashed = excluded.cashed,
    held_worth = excluded.held_worth,
    live_worth = excluded.live_worth,
    paid_worth = excluded.paid_worth,
    expires_time = excluded.expires_time,
    changed_time = excluded.changed_time,
    last_transaction_id = excluded.last_transaction_id,
    undone_by_transaction_id = excluded.undone_by_transaction_id
WHERE slips.version < excluded.version;

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

-- partition_openings --
SELECT partition, epoch, state, cursor_epoch, cursor_sequence FROM ledger.partitions ORDER BY partition;

-- set_partition_state --
UPDATE ledger.partitions SET state = $2, updated_time = now() WHERE partition = $1;

-- lock_openings --
SELECT pg_advisory_lock(hashtextextended('stakehold partition openings', 0));

-- unlock_openings --
SELECT pg_advisory_unlock(hashtextextended('stakehold partition openings', 0));
