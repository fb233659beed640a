-- How far each sink was told the ledger's entries, and who tells it.

CREATE TABLE ledger.publishers (
    publisher_id text NOT NULL,
    sink text NOT NULL,
    seen_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT a_publisher_is_listed_once PRIMARY KEY (publisher_id)
);
COMMENT ON TABLE ledger.publishers IS 'Who publishes now, so that they can share a sink''s partitions.';

CREATE TABLE ledger.publications (
    sink text NOT NULL,
    partition integer NOT NULL,
    position bigint NOT NULL,
    lease bigint NOT NULL DEFAULT 0,
    leased_by text,
    leased_until timestamptz,
    updated_time timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT a_sink_has_one_place_in_each_partition PRIMARY KEY (sink, partition),
    CONSTRAINT a_publication_is_of_a_partition FOREIGN KEY (partition) REFERENCES ledger.partitions,
    CONSTRAINT a_place_is_not_before_the_first CHECK (position >= 0)
) WITH (fillfactor = 60);
COMMENT ON COLUMN ledger.publications.position IS
    'The chain position of the next entry: the sink has confirmed all before it. Moved only after that.';
COMMENT ON COLUMN ledger.publications.lease IS
    'Grows whenever the partition gets another publisher. Progress under an older lease is refused.';

CREATE FUNCTION ledger.refuse_a_publication_that_moves_back() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.position < OLD.position OR NEW.lease < OLD.lease THEN
        RAISE EXCEPTION 'the publication of partition % to % cannot move back from % to %',
            OLD.partition, OLD.sink, OLD.position, NEW.position
            USING ERRCODE = 'restrict_violation', CONSTRAINT = 'a_publication_only_moves_forward';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER a_publication_only_moves_forward BEFORE UPDATE ON ledger.publications
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_a_publication_that_moves_back();

GRANT SELECT ON ledger.publishers, ledger.publications TO stakehold_reader;
GRANT USAGE ON SCHEMA ledger TO stakehold_publisher;
GRANT SELECT ON ledger.partitions TO stakehold_publisher;
GRANT SELECT, INSERT, UPDATE, DELETE ON ledger.publishers TO stakehold_publisher;
GRANT SELECT, INSERT ON ledger.publications TO stakehold_publisher;
GRANT UPDATE (position, lease, leased_by, leased_until, updated_time) ON ledger.publications TO stakehold_publisher;
