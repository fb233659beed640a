-- What LedgerMemory reads: whatever the store should remember of some players. Arrays that belong together are
-- parallel. Ids and rounds are found by the index of each way that leads to them; tests explain it.

-- look_up_by_index --
SELECT set_config(name, 'off', true)
FROM unnest(ARRAY['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin']) AS name;

-- newest_changes_of_players --
-- One step for each wallet: its newest version stands last in the index, and the next wallet's before its first.
WITH RECURSIVE newest AS (
    SELECT asked.player_id, last.*
    FROM unnest($1::text[]) AS asked (player_id)
    CROSS JOIN LATERAL (
        SELECT
            currency, version, wallet_status, cash_after, bonus_after, held_after, receivable_after, credit_line,
            booked_time
        FROM ledger.entries
        WHERE entries.player_id = asked.player_id AND version IS NOT NULL
        ORDER BY currency DESC, version DESC
        LIMIT 1
    ) AS last
    UNION ALL
    SELECT newest.player_id, last.*
    FROM newest
    CROSS JOIN LATERAL (
        SELECT
            currency, version, wallet_status, cash_after, bonus_after, held_after, receivable_after, credit_line,
            booked_time
        FROM ledger.entries
        WHERE entries.player_id = newest.player_id AND entries.currency < newest.currency AND version IS NOT NULL
        ORDER BY currency DESC, version DESC
        LIMIT 1
    ) AS last
)
SELECT
    player_id, currency, version::text, wallet_status, cash_after::text, bonus_after::text, held_after::text,
    receivable_after::text, credit_line::text, (extract(epoch FROM booked_time) * 1000)::bigint::text AS booked_ms
FROM newest;

-- newest_ids_of_players --
-- The time is compared together with the player: else, where statistics are of yesterday and so know nothing of
-- today, all that was booked today by anybody is gone through for each player.
SELECT asked.player_id, newest.*
FROM unnest($1::text[]) AS asked (player_id)
CROSS JOIN LATERAL (
    SELECT
        source_id AS source,
        transaction_id,
        coalesce(reference_transaction_id, '') AS reference,
        coalesce(game_id, '') AS game,
        coalesce(round_id, '') AS round
    FROM ledger.entries
    WHERE entries.player_id = asked.player_id
        AND (entries.player_id, booked_time) >= (asked.player_id, $2)
        AND entry_type NOT IN ('wallet_opened', 'status_changed')
    ORDER BY booked_time DESC, partition DESC, chain_position DESC
    LIMIT $3
) AS newest;

-- entries_about --
-- The entries of some ids ($1 players, $2 sources, $3 ids), those that refer to them, and those of some rounds
-- ($4 players, $5 sources, $6 games, "" for none, $7 rounds), each once. After the player come the fields of
-- KnownEntry, in their order.
WITH ids AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS asked (player_id, source_id, transaction_id)
), rounds AS MATERIALIZED (
    SELECT * FROM unnest($4::text[], $5::text[], $6::text[], $7::text[])
        AS asked (player_id, source_id, game_id, round_id)
), found AS (
    SELECT entries.partition, entries.chain_position
    FROM ids JOIN ledger.entries USING (player_id, source_id, transaction_id)
    UNION
    SELECT entries.partition, entries.chain_position
    FROM ids
    JOIN ledger.entries ON entries.player_id = ids.player_id
        AND entries.source_id = ids.source_id
        AND entries.reference_transaction_id = ids.transaction_id
    UNION
    SELECT entries.partition, entries.chain_position
    FROM rounds JOIN ledger.entries USING (player_id, source_id, game_id, round_id)
    UNION
    SELECT entries.partition, entries.chain_position
    FROM rounds JOIN ledger.entries USING (player_id, source_id, round_id)
    WHERE rounds.game_id = '' AND entries.game_id IS NULL
)
SELECT
    player_id,
    chain_position,
    entry_type AS type,
    epoch || '-' || sequence || '-' || entry_index AS position,
    (extract(epoch FROM booked_time) * 1000)::bigint::text AS booked_ms,
    source_id AS source,
    transaction_id,
    coalesce(operation, '') AS operation,
    coalesce(kind, '') AS kind,
    fingerprint,
    coalesce(currency, '') AS currency,
    coalesce(amount::text, '') AS amount,
    cash_change::text,
    bonus_change::text,
    held_change::text,
    receivable_change::text,
    coalesce(wallet_version::text, '') AS wallet_version,
    coalesce(wallet_status, '') AS wallet_status,
    coalesce(cash_after::text, '') AS cash,
    coalesce(bonus_after::text, '') AS bonus,
    coalesce(held_after::text, '') AS held,
    coalesce(receivable_after::text, '') AS receivable,
    coalesce(game_id, '') AS game,
    coalesce(round_id, '') AS round,
    coalesce(reference_transaction_id, '') AS reference,
    coalesce(outcome, '') AS outcome,
    coalesce(refusal_reason, '') AS reason,
    coalesce(related_transaction_id, '') AS related,
    late,
    closes_round,
    coalesce(conversion, '') AS conversion,
    coalesce(slip, '') AS slip
FROM found JOIN ledger.entries USING (partition, chain_position);

-- known_fields_of_players --
-- Fields of ids and rounds, as the store names them; of each sort at most $2 for the player of $1 beside it. From
-- the indexes alone: so also rounds that only a refused bet named, and ids that were only referred to.
SELECT
    asked.player_id,
    ARRAY(
        (
            SELECT source_id || chr(31) || transaction_id
            FROM ledger.entries
            WHERE entries.player_id = asked.player_id AND source_id <> 'stakehold'
            LIMIT asked.most
        )
        UNION ALL
        (
            SELECT source_id || chr(31) || transaction_id
            FROM ledger.entries
            WHERE entries.player_id = asked.player_id
                AND source_id = 'stakehold'
                AND entry_type NOT IN ('wallet_opened', 'status_changed')
            LIMIT asked.most
        )
        UNION ALL
        SELECT source_id || chr(31) || reference_transaction_id
        FROM (
            SELECT DISTINCT source_id, reference_transaction_id
            FROM ledger.entries
            WHERE entries.player_id = asked.player_id AND reference_transaction_id IS NOT NULL
            LIMIT asked.most
        ) AS named
        UNION ALL
        SELECT source_id || chr(31) || coalesce(game_id, '') || chr(31) || round_id
        FROM (
            SELECT DISTINCT source_id, game_id, round_id
            FROM ledger.entries
            WHERE entries.player_id = asked.player_id AND round_id IS NOT NULL
            LIMIT asked.most
        ) AS named
    ) AS fields
FROM unnest($1::text[], $2::bigint[]) AS asked (player_id, most);
