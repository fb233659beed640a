-- What an audit asks of the ledger, all in one snapshot. The queries about wallets and accounts return findings:
-- kind, partition, entry_id, player_id, currency and a description. $1 is the player whose wallets are
-- audited, null for all; each query is planned once, for the value that it gets.

-- audit_partitions --
SELECT partition, entry_count FROM ledger.partitions ORDER BY partition;

-- audit_chain --
SELECT entries.* FROM ledger.entries WHERE partition = $1 ORDER BY chain_position;

-- export_chain --
SELECT entries.* FROM ledger.entries
WHERE partition = $1 AND chain_position >= $2 AND chain_position < $3
ORDER BY chain_position;

-- hash_at_position --
SELECT hash FROM ledger.entries WHERE partition = $1 AND chain_position = $2;

-- last_position_before --
SELECT max(chain_position) FROM ledger.entries WHERE partition = $1 AND booked_time < $2;

-- audit_entries_of_player --
SELECT entries.* FROM ledger.entries WHERE player_id = $1 ORDER BY partition, chain_position;

-- audit_cursors --
SELECT
    'cursor_mismatch' AS kind,
    partitions.partition,
    coalesce(partitions.partition || '-' || last.epoch || '-' || last.sequence || '-' || last.entry_index, '') AS entry_id,
    '' AS player_id,
    '' AS currency,
    format('partition %s: ', partitions.partition) || concat_ws(
        '; ',
        CASE WHEN entry_count <> coalesce(last.chain_position + 1, 0) THEN
            format(
                'it counts %s entries, but its chain has %s: %s',
                entry_count,
                coalesce(last.chain_position + 1, 0),
                CASE
                    WHEN entry_count < coalesce(last.chain_position + 1, 0) THEN 'some were added'
                    ELSE format('those from chain position %s on are missing', coalesce(last.chain_position + 1, 0))
                END
            )
        END,
        CASE WHEN chain_hash <> coalesce(last.hash, decode(repeat('00', 32), 'hex')) THEN
            format(
                'its chain ends with hash %s, its newest entry has %s',
                encode(chain_hash, 'hex'), coalesce(encode(last.hash, 'hex'), 'none')
            )
        END,
        CASE WHEN (cursor_epoch, cursor_sequence) <> (coalesce(last.epoch, 1), coalesce(last.sequence, -1)) THEN
            format(
                'its cursor is at %s-%s, its newest entry is of outbox record %s',
                cursor_epoch, cursor_sequence, coalesce(last.epoch || '-' || last.sequence, 'none')
            )
        END
    ) AS description
FROM ledger.partitions
LEFT JOIN LATERAL (
    SELECT epoch, sequence, entry_index, chain_position, hash
    FROM ledger.entries
    WHERE entries.partition = partitions.partition
    ORDER BY chain_position DESC
    LIMIT 1
) AS last ON true
WHERE entry_count <> coalesce(last.chain_position + 1, 0)
    OR chain_hash <> coalesce(last.hash, decode(repeat('00', 32), 'hex'))
    OR (cursor_epoch, cursor_sequence) <> (coalesce(last.epoch, 1), coalesce(last.sequence, -1))
ORDER BY partitions.partition;

-- audit_partition_count --
SELECT
    'cursor_mismatch' AS kind,
    settings.partition_count AS partition,
    '' AS entry_id,
    '' AS player_id,
    '' AS currency,
    format(
        'the ledger was made with %s partitions, but knows the positions of %s',
        settings.partition_count, (SELECT count(*) FROM ledger.partitions)
    ) AS description
FROM ledger.settings
WHERE partition_count <> (SELECT count(*) FROM ledger.partitions);

-- audit_quarantine --
SELECT
    'quarantined' AS kind,
    partition,
    '' AS entry_id,
    '' AS player_id,
    '' AS currency,
    format(
        'outbox record %s-%s waits for a decision since %s: %s: %s',
        epoch, sequence, to_char(quarantined_time, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), reason, problem
    ) AS description
FROM ledger.quarantine
WHERE resolved_time IS NULL AND ($1::integer IS NULL OR partition = $1)
UNION ALL
SELECT 'quarantined', partition, '', '', '', format('partition %s is not drained: %s', partition, stopped_reason)
FROM ledger.partitions
WHERE stopped_reason IS NOT NULL
    AND ($1::integer IS NULL OR partition = $1)
    AND NOT EXISTS (
        SELECT FROM ledger.quarantine
        WHERE quarantine.partition = partitions.partition AND resolved_time IS NULL
    )
ORDER BY partition, description;

-- audit_erasures --
SELECT
    'chain_broken' AS kind,
    coalesce(min(partition), -1) AS partition,
    '' AS entry_id,
    coalesce(player_id, '') AS player_id,
    '' AS currency,
    CASE
        WHEN erasure_id IS NULL THEN 'entries were erased without a record of who did it and why'
        ELSE format(
            'erasure %s says that the metadata of %s entries were erased, and there are %s',
            erasure_id, coalesce(max(erasures.entry_count), 0), count(entries.hash)
        )
    END AS description
FROM ledger.erasures
FULL JOIN (SELECT * FROM ledger.entries WHERE erasure_id IS NOT NULL) AS entries USING (erasure_id, player_id)
GROUP BY erasure_id, player_id
HAVING coalesce(max(erasures.entry_count), -1) <> count(entries.hash);

-- audit_archives --
SELECT
    'chain_broken' AS kind,
    archives.partition,
    '' AS entry_id,
    '' AS player_id,
    '' AS currency,
    format(
        'archive %s ends with chain position %s and hash %s, and there stands %s',
        archives.file,
        archives.end_position - 1,
        encode(archives.last_hash, 'hex'),
        coalesce(encode(entries.hash, 'hex'), 'nothing')
    ) AS description
FROM ledger.archives
LEFT JOIN ledger.entries
    ON entries.partition = archives.partition AND entries.chain_position = archives.end_position - 1
WHERE entries.hash IS DISTINCT FROM archives.last_hash
ORDER BY archives.partition, archives.first_position;

-- audit_orphan_postings --
SELECT
    'posting_mismatch' AS kind,
    partition,
    format('%s-%s-%s-%s', partition, epoch, sequence, entry_index) AS entry_id,
    CASE min(owner_kind) FILTER (WHERE owner_kind = 'player') WHEN 'player' THEN
        min(owner_id) FILTER (WHERE owner_kind = 'player') ELSE '' END AS player_id,
    min(postings.currency) AS currency,
    format('%s postings stand without their entry, which is missing', count(*)) AS description
FROM ledger.postings
LEFT JOIN ledger.accounts USING (account_id, partition)
WHERE NOT EXISTS (
    SELECT FROM ledger.entries
    WHERE (entries.partition, entries.epoch, entries.sequence, entries.entry_index)
        = (postings.partition, postings.epoch, postings.sequence, postings.entry_index)
)
GROUP BY partition, epoch, sequence, entry_index
ORDER BY partition, epoch, sequence, entry_index;

-- audit_misplaced_postings --
SELECT
    'posting_mismatch' AS kind,
    postings.partition,
    format('%s-%s-%s-%s', postings.partition, epoch, sequence, entry_index) AS entry_id,
    CASE owner_kind WHEN 'player' THEN owner_id ELSE '' END AS player_id,
    postings.currency,
    format(
        'posting %s is in %s of partition %s, its account %s in %s of partition %s',
        posting_index, postings.currency, postings.partition,
        account_id, coalesce(accounts.currency, 'nothing'), coalesce(accounts.partition::text, 'none')
    ) AS description
FROM ledger.postings
LEFT JOIN ledger.accounts USING (account_id)
WHERE (accounts.currency, accounts.partition) IS DISTINCT FROM (postings.currency, postings.partition)
ORDER BY postings.partition, epoch, sequence, entry_index, posting_index;

-- audit_versions --
SELECT
    'version_gap' AS kind,
    partition,
    format('%s-%s-%s-%s', partition, epoch, sequence, entry_index) AS entry_id,
    player_id,
    currency,
    format(
        'the %s wallet of player %s goes from version %s to %s: %s',
        currency, player_id, version_before, version,
        CASE version - version_before
            WHEN 2 THEN format('version %s is missing', version - 1)
            ELSE format('versions %s to %s are missing', version_before + 1, version - 1)
        END
    ) AS description
FROM (
    SELECT
        partition, epoch, sequence, entry_index, player_id, currency, version,
        lag(version, 1, 0::bigint) OVER (PARTITION BY player_id, currency ORDER BY version) AS version_before
    FROM ledger.entries
    WHERE version IS NOT NULL AND ($1::text IS NULL OR player_id = $1)
) AS changes
WHERE version <> version_before + 1
ORDER BY player_id, currency, version;

-- audit_running_balances --
SELECT
    'balance_mismatch' AS kind,
    partition,
    format('%s-%s-%s-%s', partition, epoch, sequence, entry_index) AS entry_id,
    player_id,
    currency,
    format(
        'version %s of the %s wallet of player %s says cash %s, bonus %s, held %s, receivable %s, but version %s '
        'and its own change make cash %s, bonus %s, held %s, receivable %s',
        version, currency, player_id, cash_after, bonus_after, held_after, receivable_after, version_before,
        cash, bonus, held, receivable
    ) AS description
FROM (
    SELECT
        partition, epoch, sequence, entry_index, player_id, currency, version,
        cash_after, bonus_after, held_after, receivable_after,
        lag(version, 1, 0::bigint) OVER wallet AS version_before,
        lag(cash_after, 1, 0::numeric) OVER wallet + cash_change AS cash,
        lag(bonus_after, 1, 0::numeric) OVER wallet + bonus_change AS bonus,
        lag(held_after, 1, 0::numeric) OVER wallet + held_change AS held,
        lag(receivable_after, 1, 0::numeric) OVER wallet + receivable_change AS receivable
    FROM ledger.entries
    WHERE version IS NOT NULL AND ($1::text IS NULL OR player_id = $1)
    WINDOW wallet AS (PARTITION BY player_id, currency ORDER BY version)
) AS changes
WHERE version = version_before + 1
    AND (cash_after, bonus_after, held_after, receivable_after) <> (cash, bonus, held, receivable)
ORDER BY player_id, currency, version;

-- audit_wallet_rows --
WITH last AS (
    SELECT DISTINCT ON (player_id, currency)
        player_id, currency, partition, epoch, sequence, entry_index, version, wallet_status, credit_line, booked_time
    FROM ledger.entries
    WHERE version IS NOT NULL AND ($1::text IS NULL OR player_id = $1)
    ORDER BY player_id, currency, version DESC
), known AS (
    SELECT * FROM ledger.wallets WHERE $1::text IS NULL OR player_id = $1
)
SELECT
    CASE WHEN known.version IS DISTINCT FROM last.version THEN 'version_gap' ELSE 'balance_mismatch' END AS kind,
    coalesce(last.partition, known.partition) AS partition,
    coalesce(last.partition || '-' || last.epoch || '-' || last.sequence || '-' || last.entry_index, '') AS entry_id,
    player_id,
    currency,
    CASE
        WHEN known.version IS NULL THEN
            format('the %s wallet of player %s has entries, but is not among the wallets', currency, player_id)
        WHEN last.version IS NULL THEN
            format('the %s wallet of player %s is at version %s, but has no entries', currency, player_id, known.version)
        ELSE format(
            'the %s wallet of player %s is at version %s, %s, credit line %s, last booked %s; its newest entry says '
            'version %s, %s, credit line %s, booked %s',
            currency, player_id, known.version, status, known.credit_line, last_booked_time,
            last.version, wallet_status, last.credit_line, booked_time
        )
    END AS description
FROM known
FULL JOIN last USING (player_id, currency)
WHERE (known.partition, known.version, status, known.credit_line, last_booked_time)
    IS DISTINCT FROM (last.partition, last.version, wallet_status, last.credit_line, booked_time)
ORDER BY player_id, currency;

-- audit_wallet_balances --
WITH last AS (
    SELECT DISTINCT ON (player_id, currency)
        player_id, currency, partition, epoch, sequence, entry_index, version,
        cash_after, bonus_after, held_after, receivable_after
    FROM ledger.entries
    WHERE version IS NOT NULL AND ($1::text IS NULL OR player_id = $1)
    ORDER BY player_id, currency, version DESC
), held_accounts AS (
    SELECT
        owner_id AS player_id,
        currency,
        min(partition) AS partition,
        sum(balance) FILTER (WHERE bucket = 'cash') AS cash,
        sum(balance) FILTER (WHERE bucket = 'bonus') AS bonus,
        sum(balance) FILTER (WHERE bucket = 'held') AS held,
        -sum(balance) FILTER (WHERE bucket = 'receivable') AS receivable
    FROM ledger.accounts
    JOIN ledger.balances USING (account_id)
    WHERE owner_kind = 'player' AND ($1::text IS NULL OR owner_id = $1)
    GROUP BY owner_id, currency
)
SELECT
    'balance_mismatch' AS kind,
    coalesce(last.partition, held_accounts.partition) AS partition,
    coalesce(last.partition || '-' || epoch || '-' || sequence || '-' || entry_index, '') AS entry_id,
    player_id,
    currency,
    format(
        'the accounts of the %s wallet of player %s hold cash %s, bonus %s, held %s, receivable %s; its newest entry, '
        'version %s, says cash %s, bonus %s, held %s, receivable %s',
        currency, player_id, coalesce(cash, 0), coalesce(bonus, 0), coalesce(held, 0), coalesce(receivable, 0),
        coalesce(version, 0), coalesce(cash_after, 0), coalesce(bonus_after, 0), coalesce(held_after, 0),
        coalesce(receivable_after, 0)
    ) AS description
FROM last
FULL JOIN held_accounts USING (player_id, currency)
WHERE (coalesce(cash, 0), coalesce(bonus, 0), coalesce(held, 0), coalesce(receivable, 0))
    <> (coalesce(cash_after, 0), coalesce(bonus_after, 0), coalesce(held_after, 0), coalesce(receivable_after, 0))
ORDER BY player_id, currency;

-- audit_balances --
WITH sums AS (
    SELECT account_id, sum(amount) AS amount FROM ledger.postings GROUP BY account_id
)
SELECT
    'balance_mismatch' AS kind,
    coalesce(accounts.partition, -1) AS partition,
    '' AS entry_id,
    CASE owner_kind WHEN 'player' THEN owner_id ELSE '' END AS player_id,
    coalesce(currency, '') AS currency,
    format(
        'account %s (%s, partition %s) has the balance %s, but its postings sum to %s',
        account_id,
        coalesce(concat_ws(' ', owner_kind, nullif(owner_id, ''), bucket, currency), 'unknown'),
        coalesce(accounts.partition::text, 'unknown'),
        coalesce(balance::text, 'none'),
        coalesce(amount, 0)
    ) AS description
FROM ledger.balances
FULL JOIN sums USING (account_id)
LEFT JOIN ledger.accounts USING (account_id)
WHERE coalesce(balance, 0) <> coalesce(amount, 0)
ORDER BY account_id;

-- audit_balances_of_player --
WITH sums AS (
    SELECT account_id, sum(postings.amount) AS amount
    FROM ledger.entries
    JOIN ledger.postings USING (partition, epoch, sequence, entry_index)
    WHERE player_id = $1
    GROUP BY account_id
)
SELECT
    'balance_mismatch' AS kind,
    partition,
    '' AS entry_id,
    owner_id AS player_id,
    currency,
    format(
        'account %s (player %s %s %s, partition %s) has the balance %s, but its postings sum to %s',
        account_id, owner_id, bucket, currency, partition, coalesce(balance::text, 'none'), coalesce(amount, 0)
    ) AS description
FROM ledger.accounts
LEFT JOIN ledger.balances USING (account_id)
LEFT JOIN sums USING (account_id)
WHERE owner_kind = 'player' AND owner_id = $1 AND coalesce(balance, 0) <> coalesce(amount, 0)
ORDER BY account_id;

-- audit_players --
SELECT DISTINCT player_id FROM ledger.wallets WHERE player_id > $1 ORDER BY player_id LIMIT $2;

-- audit_players_with_wallets --
SELECT DISTINCT player_id FROM ledger.wallets WHERE player_id = ANY ($1::text[]);

-- audit_wallets_of_players --
SELECT
    wallets.player_id, wallets.currency, wallets.partition, wallets.version, last.wallet_status, last.credit_line,
    last.cash_after, last.bonus_after, last.held_after, last.receivable_after
FROM ledger.wallets
JOIN LATERAL (
    SELECT version, wallet_status, credit_line, cash_after, bonus_after, held_after, receivable_after
    FROM ledger.entries
    WHERE entries.player_id = wallets.player_id AND entries.currency = wallets.currency AND version IS NOT NULL
    ORDER BY version DESC
    LIMIT 1
) AS last ON true
WHERE wallets.player_id = ANY ($1::text[]);

-- cursors_now --
SELECT partition, cursor_epoch, cursor_sequence FROM ledger.partitions WHERE partition = ANY ($1::integer[]);

-- versions_now --
SELECT
    player_id, currency, version, wallet_status, credit_line, cash_after, bonus_after, held_after, receivable_after
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS wanted (player_id, currency, version)
JOIN ledger.entries USING (player_id, currency, version);

-- audit_access_log --
SELECT 'access_log_broken' AS kind, 0 AS partition, '' AS entry_id, '' AS player_id, '' AS currency, description
FROM (
    SELECT CASE
        WHEN record_position <> position_before + 1 THEN format(
            'the access log has records %s and %s, and none in between', position_before, record_position
        )
        WHEN (chained).hash <> ledger.access_hash(hash_before, chained) THEN format(
            'record %s of the access log does not fit its hash and the one before it', record_position
        )
    END AS description
    FROM (
        SELECT
            access_log AS chained,
            position AS record_position,
            lag(position, 1, 0::bigint) OVER in_order AS position_before,
            lag(hash, 1, ''::bytea) OVER in_order AS hash_before
        FROM ledger.access_log
        WINDOW in_order AS (ORDER BY position)
    ) AS records
    UNION ALL
    SELECT format('the access log ends with record %s, its head is at %s', coalesce(last.position, 0), access_head.position)
    FROM ledger.access_head
    LEFT JOIN LATERAL (SELECT * FROM ledger.access_log ORDER BY position DESC LIMIT 1) AS last ON true
    WHERE (access_head.position, access_head.hash) IS DISTINCT FROM (coalesce(last.position, 0), coalesce(last.hash, ''))
) AS found
WHERE description IS NOT NULL;
