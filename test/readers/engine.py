"""One engine that stays alive and is asked line by line: python engine.py.

The first line of standard input says who it is:

    {"engine": a name of READERS, "s3": null | {"endpoint", "region", "access_key_id", "secret_access_key"},
     "jars": the folder of Spark's jars}

and the first line of standard output, after its start, {"start_seconds"}. Each further line is a request:

    {"do": "read", "tables": [{"name": ..., "location": a folder or s3://bucket/prefix,
                               "columns": [{"name": ..., "type": ...}], "where": a condition in SQL, or absent}],
     "dump": null | a folder for the rows}
    {"do": "compact", "tables": as above}        as somebody else would: deltalake by optimize.compact(), spark by OPTIMIZE

Its answer is one line for each table, then {"end": true}:

    {"table", "rows", "sha256", "seconds"}       sha256 of the canonical rows, sorted as bytes, each with "\\n"
    {"table", "removed"}                         how many files a compaction took out
    {"table", "error"}

With "dump" the rows stand in <dump>/<table>.<engine>.ndjson.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from canonical import canonical_rows
from read_tables import READERS, S3, Job, Reader, Table, forget, object_store_options, spark_session

# Spark's errors come with the whole stack of Java's calls.
ERROR_CHARACTERS = 600


def main() -> None:
    told = json.loads(sys.stdin.readline())
    engine = told["engine"]
    job = Job(None if told["s3"] is None else S3(**told["s3"]), told["jars"])
    started = time.monotonic()
    read = READERS[engine](job)
    tell({"start_seconds": round(time.monotonic() - started, 3)})
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        # What an engine keeps of a table's log would hide what the log lacks.
        forget(engine, job)
        for entry in request["tables"]:
            columns = tuple((column["name"], column["type"]) for column in entry["columns"])
            table = Table(entry["name"], entry["location"], columns, entry.get("where"))
            try:
                if request["do"] == "compact":
                    tell({"table": table.name, "removed": COMPACTIONS[engine](job, table)})
                else:
                    tell({"table": table.name} | rows_of(engine, read, table, request["dump"]))
            except Exception as error:  # an engine's refusal is an answer
                tell({"table": table.name, "error": f"{type(error).__name__}: {error}"[:ERROR_CHARACTERS]})
        tell({"end": True})


def rows_of(engine: str, read: Reader, table: Table, dump: str | None) -> dict[str, Any]:
    started = time.monotonic()
    rows = sorted(row.encode() for row in canonical_rows(read(table), [kind for _, kind in table.columns]))
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row + b"\n")
    if dump is not None:
        with open(os.path.join(dump, f"{table.name}.{engine}.ndjson"), "wb") as file:
            file.writelines(row + b"\n" for row in rows)
    return {"rows": len(rows), "sha256": digest.hexdigest(), "seconds": round(time.monotonic() - started, 3)}


def compact_by_deltalake(job: Job, table: Table) -> int:
    from deltalake import DeltaTable

    delta = DeltaTable(table.location, storage_options=object_store_options(job, table))
    return delta.optimize.compact()["numFilesRemoved"]


def compact_by_spark(job: Job, table: Table) -> int:
    place = table.location.replace("s3://", "s3a://", 1)
    [row] = spark_session(job).sql(f"OPTIMIZE delta.`{place}`").collect()
    return row["metrics"]["numFilesRemoved"]


COMPACTIONS: dict[str, Callable[[Job, Table], int]] = {"deltalake": compact_by_deltalake, "spark": compact_by_spark}


def tell(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
