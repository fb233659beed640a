-- lock_partition_opening --
SELECT pg_advisory_lock(hashtextextended('stakehold partition opening', 0));

-- unlock_partition_opening --
SELECT pg_advisory_unlock(hashtextextended('stakehold partition opening', 0));

-- begin_opening_partitions --
UPDATE ledger.partitions SET state = 'opening', updated_time = now() WHERE state = 'new';

-- partitions_being_opened --
SELECT partition FROM ledger.partitions WHERE state = 'opening' ORDER BY partition;

-- finish_opening_partitions --
UPDATE ledger.partitions SET state = 'open', updated_time = now() WHERE state = 'opening';

-- partition_epochs --
SELECT partition, epoch FROM ledger.partitions WHERE state = 'open' ORDER BY partition;
