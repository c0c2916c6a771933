"""Compacts Delta tables as somebody else would: the job of read_tables.py on standard input, with one reader.

deltalake: its optimize.compact(). spark: OPTIMIZE.
"""

import json
import sys
from collections.abc import Callable

from read_tables import ERROR_CHARACTERS, S3, Job, Table, object_store_options, spark_session


def main() -> None:
    job = json.load(sys.stdin)
    s3 = None if job.get("s3") is None else S3(**job["s3"])
    opened = Job(s3, job["jars"])
    [engine] = job["readers"]
    compact = by_spark(opened) if engine == "spark" else by_deltalake(opened)
    for entry in job["tables"]:
        table = Table(entry["name"], entry["location"], ())
        try:
            compact(table)
        except Exception as error:
            sys.exit(f"{table.name}: {error}"[:ERROR_CHARACTERS])


def by_deltalake(job: Job) -> Callable[[Table], object]:
    from deltalake import DeltaTable

    return lambda table: DeltaTable(
        table.location, storage_options=object_store_options(job, table)
    ).optimize.compact()


def by_spark(job: Job) -> Callable[[Table], object]:
    session = spark_session(job)
    return lambda table: session.sql(f"OPTIMIZE delta.`{table.location.replace('s3://', 's3a://', 1)}`").collect()


if __name__ == "__main__":
    main()
