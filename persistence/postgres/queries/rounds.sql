-- Rounds in the ledger: which are open, followed entry by entry, and whose bets nothing settles. Keys are compared
-- byte for byte.

-- begin_to_follow --
INSERT INTO ledger.round_progress (partition, next_chain_position)
SELECT partition, 0 FROM ledger.partitions
ON CONFLICT (partition) DO NOTHING;

-- partitions_to_follow --
-- Those that the ledger goes on in beyond what was followed.
SELECT partition
FROM ledger.round_progress JOIN ledger.partitions USING (partition)
WHERE entry_count > next_chain_position
ORDER BY partition;

-- hold_progress --
SELECT next_chain_position FROM ledger.round_progress WHERE partition = $1 FOR UPDATE SKIP LOCKED;

-- follow_rounds --
-- Takes in the entries of partition $1 from chain position $2 on, at most $3, and says where the next ones begin. Of
-- each round that they touch all is looked through again, so that it does not matter how often or in which order.
-- What the service gave back by itself ($4: how such ids begin) is raised for review. Rows are found one by one and
-- then named by their places: a plan that was made while the table was small must not go through it when it is large.
WITH seen AS MATERIALIZED (
    SELECT *
    FROM ledger.entries
    WHERE partition = $1 AND chain_position >= $2
    ORDER BY chain_position
    LIMIT $3
), named AS (
    SELECT player_id, source_id, coalesce(game_id, '') AS game_id, round_id
    FROM seen
    WHERE round_id IS NOT NULL AND entry_type IN ('applied', 'round_closed')
    UNION
    -- What settles a bet, or undoes that, and names no round itself.
    SELECT bet.player_id, bet.source_id, coalesce(bet.game_id, ''), bet.round_id
    FROM seen
    LEFT JOIN ledger.entries AS undone ON seen.operation = 'rollback'
        AND undone.player_id = seen.player_id
        AND undone.source_id = seen.source_id
        AND undone.transaction_id = seen.reference_transaction_id
    JOIN ledger.entries AS bet ON bet.player_id = seen.player_id
        AND bet.source_id = seen.source_id
        AND bet.transaction_id
            = CASE seen.operation WHEN 'rollback' THEN undone.reference_transaction_id ELSE seen.reference_transaction_id END
    WHERE seen.entry_type = 'applied'
        AND seen.kind IN ('win', 'refund')
        AND seen.round_id IS NULL
        AND bet.round_id IS NOT NULL
), state AS MATERIALIZED (
    SELECT named.*, found.*
    FROM named
    CROSS JOIN LATERAL (
        SELECT
            coalesce(bool_or(closes_round), false) AS is_closed,
            count(*) FILTER (WHERE operation = 'debit' AND kind = 'bet')
                - count(*) FILTER (WHERE operation = 'rollback' AND kind = 'bet') AS live_bets,
            count(*) FILTER (WHERE operation = 'credit' AND kind IN ('win', 'refund'))
                > count(*) FILTER (WHERE operation = 'rollback' AND kind IN ('win', 'refund'))
                OR coalesce(bool_or(operation = 'debit' AND kind = 'bet' AND EXISTS (
                    SELECT FROM ledger.entries AS win
                    WHERE win.player_id = of_round.player_id
                        AND win.source_id = of_round.source_id
                        AND win.reference_transaction_id = of_round.transaction_id
                        AND win.operation = 'credit'
                        AND win.kind IN ('win', 'refund')
                        AND win.entry_type = 'applied'
                        AND win.round_id IS NULL
                        AND NOT EXISTS (
                            SELECT FROM ledger.entries AS undoing
                            WHERE undoing.player_id = win.player_id
                                AND undoing.source_id = win.source_id
                                AND undoing.reference_transaction_id = win.transaction_id
                                AND undoing.operation = 'rollback'
                                AND undoing.entry_type = 'applied'
                        )
                )), false) AS is_settled,
            min(booked_time) FILTER (WHERE operation = 'debit' AND kind = 'bet') AS first_bet_time,
            max(booked_time) AS last_time
        FROM (
            SELECT * FROM ledger.entries
            WHERE entries.player_id = named.player_id
                AND entries.source_id = named.source_id
                AND entries.game_id = named.game_id
                AND entries.round_id = named.round_id
            UNION ALL
            SELECT * FROM ledger.entries
            WHERE entries.player_id = named.player_id
                AND entries.source_id = named.source_id
                AND entries.game_id IS NULL
                AND entries.round_id = named.round_id
                AND named.game_id = ''
        ) AS of_round
        WHERE entry_type IN ('applied', 'round_closed')
    ) AS found
), ended AS (
    DELETE FROM ledger.open_rounds
    USING state
    CROSS JOIN LATERAL (
        SELECT place.ctid
        FROM ledger.open_rounds AS place
        WHERE place.player_id = state.player_id
            AND place.source_id = state.source_id
            AND place.game_id = state.game_id
            AND place.round_id = state.round_id
        LIMIT 1
        FOR UPDATE
    ) AS gone
    WHERE (is_closed OR state.live_bets <= 0) AND open_rounds.ctid = gone.ctid
), kept AS (
    INSERT INTO ledger.open_rounds (
        player_id, source_id, game_id, round_id, partition, live_bets, is_settled, first_bet_time, last_time
    )
    SELECT player_id, source_id, game_id, round_id, $1, live_bets, is_settled, first_bet_time, last_time
    FROM state
    WHERE NOT is_closed AND live_bets > 0
    ON CONFLICT (player_id, source_id, game_id, round_id) DO UPDATE SET
        live_bets = excluded.live_bets,
        is_settled = excluded.is_settled,
        first_bet_time = excluded.first_bet_time,
        last_time = excluded.last_time
), raised AS (
    INSERT INTO ledger.reviews (
        review_key, kind, partition, player_id, source_id, transaction_id, action_transaction_id, entry_id, game_id,
        round_id, description
    )
    SELECT
        format('bet_swept %s %s %s', source_id, player_id, reference_transaction_id), 'bet_swept', partition,
        player_id, source_id, reference_transaction_id, transaction_id,
        format('%s-%s-%s-%s', partition, epoch, sequence, entry_index), coalesce(game_id, ''), coalesce(round_id, ''),
        format(
            'bet %s of %s minor units of %s had no settlement in its round, and was given back at %s',
            reference_transaction_id, amount, currency, to_char(booked_time, 'YYYY-MM-DD HH24:MI:SS "UTC"')
        )
    FROM seen
    WHERE operation = 'rollback' AND entry_type = 'applied' AND starts_with(transaction_id, $4)
    ON CONFLICT (review_key) DO NOTHING
)
SELECT coalesce(max(chain_position) + 1, $2) AS next_chain_position FROM seen;

-- keep_progress --
UPDATE ledger.round_progress SET next_chain_position = $2 WHERE partition = $1;

-- claim_orphaned_rounds --
-- Of each source ($1) those whose oldest bet is of before its moment ($2), at most $3 each, and not those that
-- somebody has looked at since $4; they are looked at now, $5.
UPDATE ledger.open_rounds SET looked_time = $5
FROM unnest($1::text[], $2::timestamptz[]) AS asked (source_id, before)
CROSS JOIN LATERAL (
    SELECT due.ctid
    FROM ledger.open_rounds AS due
    WHERE due.source_id = asked.source_id
        AND NOT due.is_settled
        AND due.first_bet_time < asked.before
        AND (due.looked_time IS NULL OR due.looked_time < $4)
    ORDER BY due.first_bet_time
    LIMIT $3
    FOR UPDATE SKIP LOCKED
) AS claimed
WHERE open_rounds.ctid = claimed.ctid
RETURNING open_rounds.partition, open_rounds.player_id, open_rounds.source_id, open_rounds.game_id,
    open_rounds.round_id, asked.before;

-- orphaned_bets --
-- Of one round: bets of before $5 that stand.
SELECT transaction_id
FROM (
    SELECT * FROM ledger.entries
    WHERE player_id = $1 AND source_id = $2 AND game_id = $3 AND round_id = $4
    UNION ALL
    SELECT * FROM ledger.entries
    WHERE player_id = $1 AND source_id = $2 AND game_id IS NULL AND round_id = $4 AND $3 = ''
) AS of_round
WHERE operation = 'debit'
    AND kind = 'bet'
    AND entry_type = 'applied'
    AND booked_time < $5
    AND NOT EXISTS (
        SELECT FROM ledger.entries AS undoing
        WHERE undoing.player_id = of_round.player_id
            AND undoing.source_id = of_round.source_id
            AND undoing.reference_transaction_id = of_round.transaction_id
            AND undoing.operation = 'rollback'
            AND undoing.entry_type = 'applied'
    )
ORDER BY chain_position
LIMIT $6;

-- raise_review --
INSERT INTO ledger.reviews (
    review_key, kind, partition, player_id, source_id, transaction_id, action_transaction_id, entry_id, game_id,
    round_id, description
)
VALUES ($1, $2, $3, $4, $5, $6, '', '', $7, $8, $9)
ON CONFLICT (review_key) DO NOTHING;

-- list_reviews --
SELECT *
FROM ledger.reviews
WHERE review_id > $1
    AND ($2 = '' OR player_id = $2)
    AND ($3 = '' OR source_id = $3)
    AND ($4 OR resolved_time IS NULL)
ORDER BY review_id
LIMIT $5;

-- read_review --
SELECT * FROM ledger.reviews WHERE review_id = $1;

-- resolve_review --
UPDATE ledger.reviews SET resolved_time = now(), resolved_by = $2, note = $3
WHERE review_id = $1 AND resolved_time IS NULL
RETURNING *;

-- open_rounds_by_name --
-- Names of a player's rounds that may be open, after one of them ($3 source, $4 game, $5 round), at most $6: those
-- that were followed, and whatever was touched since.
SELECT source_id, game_id, round_id
FROM (
    (
        SELECT source_id, game_id, round_id
        FROM ledger.open_rounds
        WHERE player_id = $1
            AND ($2 = '' OR source_id = $2)
            AND (source_id, game_id, round_id) > ($3, $4, $5)
        ORDER BY source_id, game_id, round_id
        LIMIT $6
    )
    UNION
    SELECT source_id COLLATE "C", coalesce(game_id, '') COLLATE "C", round_id COLLATE "C"
    FROM ledger.entries
    WHERE player_id = $1
        AND ($2 = '' OR source_id = $2)
        AND chain_position >= coalesce(
            (SELECT next_chain_position FROM ledger.round_progress WHERE round_progress.partition = $7), 0
        )
        AND round_id IS NOT NULL
        AND (source_id COLLATE "C", coalesce(game_id, '') COLLATE "C", round_id COLLATE "C") > ($3, $4, $5)
) AS named
ORDER BY source_id, game_id, round_id
LIMIT $6;

-- open_rounds_by_use --
-- Names of a player's rounds that may be open, last used first, at most $3, without those in $4 (source US game US
-- round): those that were followed, and whatever was touched since.
SELECT source_id, game_id, round_id
FROM (
    (
        SELECT source_id, game_id, round_id, last_time
        FROM ledger.open_rounds
        WHERE player_id = $1
            AND ($2 = '' OR source_id = $2)
            AND source_id || chr(31) || game_id || chr(31) || round_id <> ALL ($4::text[])
        ORDER BY last_time DESC
        LIMIT $3
    )
    UNION ALL
    SELECT source_id, coalesce(game_id, ''), round_id, max(booked_time)
    FROM ledger.entries
    WHERE player_id = $1
        AND ($2 = '' OR source_id = $2)
        AND chain_position >= coalesce(
            (SELECT next_chain_position FROM ledger.round_progress WHERE round_progress.partition = $5), 0
        )
        AND round_id IS NOT NULL
        AND source_id || chr(31) || coalesce(game_id, '') || chr(31) || round_id <> ALL ($4::text[])
    GROUP BY source_id, game_id, round_id
) AS named
GROUP BY source_id, game_id, round_id
ORDER BY max(last_time) DESC
LIMIT $3;

-- slips_in_play --
SELECT source_id, slip_id
FROM ledger.slips
WHERE player_id = $1 AND state IN ('held', 'open') AND ($2 = '' OR source_id = $2)
ORDER BY opened_time DESC
LIMIT $3;

-- newest_ids_of_player --
-- At most $5 of a player's ids, those of positions up to ($3, $4), newest first. Changes of wallets have none.
SELECT
    source_id AS source, transaction_id, coalesce(reference_transaction_id, '') AS reference,
    coalesce(game_id, '') AS game, coalesce(round_id, '') AS round
FROM ledger.entries
WHERE player_id = $1
    AND ($2 = '' OR source_id = $2)
    AND (epoch, sequence) <= ($3, $4)
    AND entry_type NOT IN ('wallet_opened', 'status_changed')
ORDER BY booked_time DESC, partition DESC, chain_position DESC
LIMIT $5;
