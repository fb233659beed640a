-- lock_pairs --
-- In one order, so that two pushes never wait for each other.
SELECT base, quote, stale_after_s, jump_bps, two_person_bps, peg, peg_band_bps
FROM fx.pairs
WHERE (base, quote) IN (SELECT * FROM unnest($1::text[], $2::text[]))
ORDER BY base, quote
FOR UPDATE;

-- rates_in_use --
SELECT newest.*
FROM unnest($1::text[], $2::text[]) AS pairs (base, quote)
CROSS JOIN LATERAL fx.rate_at(pairs.base, pairs.quote, 'infinity', 'infinity') AS newest;

-- newest_waiting_rates --
SELECT newest.*
FROM unnest($1::text[], $2::text[]) AS pairs (base, quote)
CROSS JOIN LATERAL (
    SELECT * FROM fx.waiting_rates(pairs.base, pairs.quote) ORDER BY published_time DESC, rate_id DESC LIMIT 1
) AS newest;

-- last_rates_of_source --
-- As they were received, whatever their times.
SELECT latest.*
FROM unnest($1::text[], $2::text[]) AS pairs (base, quote)
CROSS JOIN LATERAL (
    SELECT * FROM fx.judged_rates
    WHERE base = pairs.base AND quote = pairs.quote AND source = $3
    ORDER BY rate_id DESC
    LIMIT 1
) AS latest;

-- clock --
SELECT clock_timestamp();

-- record_rates --
-- Numbered in the order that they are given in.
INSERT INTO fx.rates (source, pushed_by, received_time, base, quote, mid, published_time, state, reason)
SELECT $1, $2, $3, base, quote, mid, published_time, state, reason
FROM unnest($4::text[], $5::text[], $6::numeric[], $7::timestamptz[], $8::text[], $9::text[]) WITH ORDINALITY
    AS pushed (base, quote, mid, published_time, state, reason, place)
ORDER BY place
RETURNING rate_id;

-- judged_rate --
SELECT * FROM fx.judged_rates WHERE rate_id = $1;

-- decide_rate --
-- Times of rates are whole milliseconds everywhere.
INSERT INTO fx.rate_decisions (rate_id, decision, decided_by, reason, decided_time)
VALUES ($1, $2, $3, $4, date_trunc('milliseconds', clock_timestamp()));

-- pair_exists --
SELECT true FROM fx.pairs WHERE base = $1 AND quote = $2;

-- await_pushes --
-- What is pushed or decided meanwhile is committed, or gets a later time than now.
SELECT true FROM fx.pairs WHERE base = $1 AND quote = $2 FOR SHARE;

-- rate_at --
SELECT * FROM fx.rate_at($1, $2, $3, coalesce($4::timestamptz, 'infinity'));

-- newest_rate_id --
SELECT coalesce(max(rate_id), 0) FROM fx.rates;

-- list_rates --
SELECT *
FROM fx.judged_rates
WHERE base = $1 AND quote = $2
    AND (published_time, rate_id) > ($3, $4)
    AND rate_id <= $5
    AND published_time < coalesce($6::timestamptz, 'infinity')
ORDER BY published_time, rate_id
LIMIT $7;

-- list_waiting_rates --
SELECT waiting.*
FROM fx.pairs
CROSS JOIN LATERAL (
    SELECT * FROM fx.waiting_rates(pairs.base, pairs.quote) WHERE rate_id > $1 ORDER BY rate_id LIMIT $2
) AS waiting
ORDER BY waiting.rate_id
LIMIT $2;

-- pairs --
SELECT base, quote, stale_after_s, jump_bps, two_person_bps, peg, peg_band_bps FROM fx.pairs ORDER BY base, quote;

-- put_pair --
INSERT INTO fx.pairs AS stored (base, quote, stale_after_s, jump_bps, two_person_bps, peg, peg_band_bps)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (base, quote) DO UPDATE SET
    stale_after_s = excluded.stale_after_s,
    jump_bps = excluded.jump_bps,
    two_person_bps = excluded.two_person_bps,
    peg = excluded.peg,
    peg_band_bps = excluded.peg_band_bps,
    updated_time = now()
RETURNING (stored.xmax = 0) AS created;

-- spreads --
SELECT currency, wallet_currency, side, player_group, bps
FROM fx.spreads
ORDER BY currency, wallet_currency, side, player_group;

-- put_spread --
INSERT INTO fx.spreads AS stored (currency, wallet_currency, side, player_group, bps)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (currency, wallet_currency, side, player_group) DO UPDATE SET
    bps = excluded.bps,
    updated_time = now()
RETURNING (stored.xmax = 0) AS created;

-- remove_spread --
DELETE FROM fx.spreads
WHERE (currency, wallet_currency, side, player_group) = ($1, $2, $3, $4)
RETURNING true;

-- pivots --
SELECT currency_code FROM fx.pivots ORDER BY rank;

-- lock_pivots --
LOCK TABLE fx.pivots IN SHARE ROW EXCLUSIVE MODE;

-- remove_pivots --
DELETE FROM fx.pivots;

-- put_pivots --
INSERT INTO fx.pivots (rank, currency_code)
SELECT rank, currency_code FROM unnest($1::text[]) WITH ORDINALITY AS ranked (currency_code, rank);
