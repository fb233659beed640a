-- How far sinks were told, and under whose lease.

-- plant_publications --
INSERT INTO ledger.publications (sink, partition, position)
SELECT $1, partition, CASE WHEN $2::boolean THEN entry_count ELSE 0 END FROM ledger.partitions
ON CONFLICT (sink, partition) DO NOTHING;

-- see_publisher --
WITH seen AS (
    INSERT INTO ledger.publishers (publisher_id, sink, seen_time) VALUES ($2, $1, clock_timestamp())
    ON CONFLICT (publisher_id) DO UPDATE SET seen_time = excluded.seen_time
), gone AS (
    DELETE FROM ledger.publishers
    WHERE publisher_id IN (
        SELECT publisher_id FROM ledger.publishers
        WHERE publisher_id <> $2 AND seen_time < clock_timestamp() - make_interval(secs => 100 * $3::double precision)
        FOR UPDATE SKIP LOCKED
    )
)
SELECT 1 + count(*) FROM ledger.publishers
WHERE sink = $1 AND publisher_id <> $2 AND seen_time > clock_timestamp() - make_interval(secs => $3);

-- hold_publications --
WITH held AS (
    SELECT sink, partition FROM ledger.publications
    WHERE sink = $1 AND (leased_by IS NULL OR leased_by = $2 OR leased_until < clock_timestamp())
    ORDER BY leased_by = $2 DESC NULLS LAST, partition
    LIMIT (SELECT ceil(count(*) / $4::numeric) FROM ledger.publications WHERE sink = $1)
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE ledger.publications SET
    lease = CASE WHEN leased_by = $2 THEN lease ELSE lease + 1 END,
    leased_by = $2,
    leased_until = clock_timestamp() + make_interval(secs => $3)
FROM held
WHERE publications.sink = held.sink AND publications.partition = held.partition
RETURNING publications.partition, publications.position, publications.lease;

-- give_back_publications --
UPDATE ledger.publications SET leased_by = NULL, leased_until = NULL
WHERE sink = $1 AND leased_by = $2 AND partition <> ALL ($3::integer[]);

-- advance_publications --
UPDATE ledger.publications SET
    position = moved.beyond,
    leased_until = clock_timestamp() + make_interval(secs => $3),
    updated_time = now()
FROM unnest($4::integer[], $5::bigint[], $6::bigint[], $7::bigint[]) AS moved (partition, lease, first, beyond)
WHERE sink = $1
    AND publications.partition = moved.partition
    AND leased_by = $2
    AND publications.lease = moved.lease
    AND publications.position = moved.first
RETURNING publications.partition;

-- retire_publisher --
DELETE FROM ledger.publishers WHERE publisher_id = $1;
