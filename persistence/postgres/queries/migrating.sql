-- lock_migrations --
SELECT pg_advisory_lock(hashtextextended('stakehold migrations', 0));

-- unlock_migrations --
SELECT pg_advisory_unlock(hashtextextended('stakehold migrations', 0));

-- schema_exists --
SELECT to_regnamespace('ledger') IS NOT NULL;

-- create_migrations_table --
CREATE TABLE IF NOT EXISTS ledger.migrations (
    number integer NOT NULL,
    name text NOT NULL,
    checksum bytea NOT NULL,
    applied_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT a_migration_is_applied_once PRIMARY KEY (number)
);

-- migrations_table_exists --
SELECT to_regclass('ledger.migrations') IS NOT NULL;

-- applied_migrations --
SELECT number, name, checksum FROM ledger.migrations ORDER BY number;

-- record_migration --
INSERT INTO ledger.migrations (number, name, checksum) VALUES ($1, $2, $3);

-- wait_for_locks --
SELECT set_config('lock_timeout', $1, true);

-- deadlock_timeout_s --
SELECT setting::double precision / 1000 FROM pg_settings WHERE name = 'deadlock_timeout';

-- who_stands_in_the_way --
SELECT
    holders.pid,
    usename::text AS login,
    coalesce(application_name, '') AS application,
    date_trunc('second', xact_start) AS since
FROM (SELECT DISTINCT unnest(pg_blocking_pids($1)) AS pid) AS holders
LEFT JOIN pg_stat_activity ON pg_stat_activity.pid = holders.pid
ORDER BY holders.pid;

-- existing_roles --
SELECT rolname FROM pg_roles WHERE rolname = ANY ($1::text[]);

-- roles_that_cannot_be_set --
SELECT rolname FROM pg_roles WHERE rolname = ANY ($1::text[]) AND NOT pg_has_role(current_user, oid, $2);

-- role_exists --
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1);

-- roles_that_another_cannot_set --
SELECT rolname FROM pg_roles WHERE rolname = ANY ($1::text[]) AND NOT pg_has_role($3::name, oid, $2);

-- plant_settings --
INSERT INTO ledger.settings (partition_count) VALUES ($1) ON CONFLICT DO NOTHING;

-- plant_partitions --
INSERT INTO ledger.partitions (partition)
SELECT generate_series(0, partition_count - 1) FROM ledger.settings
ON CONFLICT DO NOTHING;

-- ledger_settings --
SELECT ledger_id, partition_count, created_time FROM ledger.settings;
