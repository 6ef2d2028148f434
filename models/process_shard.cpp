// process_shard
