-- currencies --
SELECT currency_code, display_name, scale, kind, status FROM registry.currencies;

-- sources --
SELECT source_id, display_name, status, settled_rollback, unknown_bet, late_win, shortfall, zero_amount,
    foreign_currency
FROM registry.sources;

-- plant_currency --
INSERT INTO registry.currencies (currency_code, display_name, scale, kind, status)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (currency_code) DO NOTHING;

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

-- put_source --
INSERT INTO registry.sources AS stored (
    source_id, display_name, status, settled_rollback, unknown_bet, late_win, shortfall, zero_amount, foreign_currency
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (source_id) DO UPDATE SET
    display_name = excluded.display_name,
    status = excluded.status,
    settled_rollback = excluded.settled_rollback,
    unknown_bet = excluded.unknown_bet,
    late_win = excluded.late_win,
    shortfall = excluded.shortfall,
    zero_amount = excluded.zero_amount,
    foreign_currency = excluded.foreign_currency,
    updated_time = now()
RETURNING (stored.xmax = 0) AS created;
