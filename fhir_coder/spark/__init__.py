"""Bulk history on Apache Spark: `job` reads, orders and writes, `partition` codes, in the processes of the engine."""
