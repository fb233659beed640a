-- What LedgerService reads. Every query that may meet a large table is driven by an index; tests explain them.

-- limit_statements --
SELECT set_config('statement_timeout', $1, true);

-- newest_place --
SELECT booked_time, partition, chain_position
FROM ledger.entries
ORDER BY booked_time DESC, partition DESC, chain_position DESC
LIMIT 1;

-- list_entries --
SELECT entries.*
FROM ledger.entries
WHERE (booked_time, partition, chain_position) > ($1, $2, $3)
    AND (booked_time, partition, chain_position) <= ($4, $5, $6)
    -- filters
ORDER BY booked_time, partition, chain_position
LIMIT $7;

-- postings_of_entries --
SELECT
    partition, epoch, sequence, entry_index,
    accounts.owner_kind, accounts.owner_id, accounts.bucket, postings.currency, postings.amount
FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::smallint[])
    AS wanted (partition, epoch, sequence, entry_index)
JOIN ledger.postings USING (partition, epoch, sequence, entry_index)
JOIN ledger.accounts USING (account_id, partition)
ORDER BY partition, epoch, sequence, entry_index, posting_index;

-- rollbacks_of_entries --
SELECT rollback.player_id, rollback.source_id, rollback.reference_transaction_id, rollback.transaction_id
FROM unnest($1::text[], $2::text[], $3::text[]) AS original (player_id, source_id, transaction_id)
JOIN ledger.entries AS rollback
    ON rollback.player_id = original.player_id
    AND rollback.source_id = original.source_id
    AND rollback.reference_transaction_id = original.transaction_id
WHERE rollback.operation = 'rollback'
    AND rollback.entry_type = 'applied'
    AND NOT EXISTS (
        SELECT FROM ledger.entries AS undoing
        WHERE undoing.player_id = rollback.player_id
            AND undoing.source_id = rollback.source_id
            AND undoing.reference_transaction_id = rollback.transaction_id
            AND undoing.operation = 'rollback'
            AND undoing.entry_type = 'applied'
    );

-- list_slips --
-- Of one player, newest first; of those opened at the moment ($4, microseconds) that the last page ended in, the first
-- $5 were on it.
SELECT *, (extract(epoch FROM opened_time) * 1000000)::bigint AS opened_us
FROM ledger.slips
WHERE player_id = $1
    AND ($2::text IS NULL OR source_id = $2)
    AND ($3::text[] IS NULL OR state = ANY ($3))
    AND ($4::bigint IS NULL OR opened_time <= timestamptz 'epoch' + $4::bigint * interval '1 microsecond')
ORDER BY opened_time DESC, source_id, slip_id
LIMIT $6 OFFSET $5;

-- due_holds --
SELECT player_id, source_id, slip_id, partition
FROM ledger.slips
WHERE state = 'held' AND expires_time <= clock_timestamp() AND NOT partition = ANY ($1::integer[])
ORDER BY expires_time
LIMIT $2;

-- wallet_exists --
SELECT EXISTS (SELECT FROM ledger.wallets WHERE player_id = $1 AND currency = $2);

-- last_change_before --
SELECT version, booked_time, wallet_status, credit_line, cash_after, bonus_after, held_after, receivable_after
FROM ledger.entries
WHERE player_id = $1 AND currency = $2 AND version IS NOT NULL AND booked_time < $3
ORDER BY booked_time DESC, partition DESC, chain_position DESC
LIMIT 1;

-- change_of_version --
SELECT version, booked_time, wallet_status, credit_line, cash_after, bonus_after, held_after, receivable_after
FROM ledger.entries
WHERE player_id = $1 AND currency = $2 AND version = $3;

-- statement_lines --
SELECT entries.*
FROM ledger.entries
WHERE player_id = $1 AND currency = $2 AND version > $3 AND version <= $4 AND entry_type = 'applied'
ORDER BY version
LIMIT $5;

-- trial_balance --
SELECT currency, owner_kind, owner_id, bucket, sum(balance) AS balance
FROM (
    SELECT
        currency COLLATE "C" AS currency,
        owner_kind COLLATE "C" AS owner_kind,
        CASE owner_kind WHEN 'player' THEN '' ELSE owner_id END COLLATE "C" AS owner_id,
        bucket COLLATE "C" AS bucket,
        balance
    FROM ledger.balances
    JOIN ledger.accounts USING (account_id)
    WHERE $1::text IS NULL OR currency = $1
) AS summed_by
GROUP BY currency, owner_kind, owner_id, bucket
ORDER BY currency, owner_kind, owner_id, bucket;

-- chain_ends --
SELECT partition, entry_count FROM ledger.partitions;

-- chain_ends_of --
SELECT partition, entry_count FROM ledger.partitions WHERE partition = ANY ($1::integer[]);

-- entries_of_chains --
SELECT entries.*
FROM unnest($1::integer[], $2::bigint[], $3::bigint[]) AS stretch (partition, first, beyond)
CROSS JOIN LATERAL (
    SELECT * FROM ledger.entries
    WHERE entries.partition = stretch.partition
        AND entries.chain_position >= stretch.first
        AND entries.chain_position < stretch.beyond
    ORDER BY entries.chain_position
    LIMIT $4
) AS entries
WHERE true -- filters
;
