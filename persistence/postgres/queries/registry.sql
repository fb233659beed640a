-- denominations --
SELECT denomination_code, currency_code, exponent FROM registry.denominations;

-- currencies --
SELECT currency_code, display_name, scale, kind, status FROM registry.currencies;

-- sources --
SELECT source_id, display_name, status, settled_rollback, unknown_bet, late_win, shortfall, zero_amount,
    foreign_currency, orphan_horizon_ms, calls_per_s, burst_calls
FROM registry.sources;

-- plant_currency --
INSERT INTO registry.currencies (currency_code, display_name, scale, kind, status)
SELECT $1, $2, $3, $4, $5
WHERE NOT EXISTS (SELECT FROM registry.denominations WHERE denomination_code = $1)
ON CONFLICT (currency_code) DO NOTHING;

-- plant_denomination --
INSERT INTO registry.denominations (denomination_code, currency_code, exponent)
SELECT $1, currency_code, $3 FROM registry.currencies WHERE currency_code = $2
ON CONFLICT (denomination_code) DO NOTHING;

-- put_currency --
INSERT INTO registry.currencies AS stored (currency_code, display_name, scale, kind, status)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (currency_code) DO UPDATE SET
    display_name = excluded.display_name,
    scale = excluded.scale,
    kind = excluded.kind,
    status = excluded.status,
    updated_time = now()
RETURNING (stored.xmax = 0) AS created;

-- put_denomination --
INSERT INTO registry.denominations (denomination_code, currency_code, exponent)
VALUES ($1, $2, $3)
ON CONFLICT (denomination_code) DO NOTHING
RETURNING true AS created;

-- denomination --
SELECT denomination_code, currency_code, exponent FROM registry.denominations WHERE denomination_code = $1;

-- put_source --
INSERT INTO registry.sources AS stored (
    source_id, display_name, status, settled_rollback, unknown_bet, late_win, shortfall, zero_amount,
    foreign_currency, orphan_horizon_ms, calls_per_s, burst_calls
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (source_id) DO UPDATE SET
    display_name = excluded.display_name,
    status = excluded.status,
    settled_rollback = excluded.settled_rollback,
    unknown_bet = excluded.unknown_bet,
    late_win = excluded.late_win,
    shortfall = excluded.shortfall,
    zero_amount = excluded.zero_amount,
    foreign_currency = excluded.foreign_currency,
    orphan_horizon_ms = excluded.orphan_horizon_ms,
    calls_per_s = excluded.calls_per_s,
    burst_calls = excluded.burst_calls,
    updated_time = now()
RETURNING (stored.xmax = 0) AS created;
