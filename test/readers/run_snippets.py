"""Runs the snippets of a document: {"snippets": [{"engine", "code"}], "jars"} on standard input, what each prints as a line
of JSON on standard output."""

import contextlib
import io
import json
import os
import sys

from read_tables import Job, extension_file, spark_session


def run_duckdb(code: str, job: Job) -> str:
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"LOAD '{extension_file('delta')}'")
    return str(connection.execute(code).fetchall())


def run_clickhouse(code: str, job: Job) -> str:
    import chdb

    # ClickHouse reads local tables only below its working folder.
    os.chdir("/")
    return str(chdb.query(code.rstrip().removesuffix(";")))


def run_python(code: str, job: Job) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {"__name__": "snippet"})
    return printed.getvalue()


def run_spark(code: str, job: Job) -> str:
    printed = io.StringIO()
    session = spark_session(job)
    with contextlib.redirect_stdout(printed):
        exec(code, {"__name__": "snippet", "spark": session})
    session.stop()
    return printed.getvalue()


ENGINES = {
    "duckdb": run_duckdb,
    "clickhouse": run_clickhouse,
    "deltalake": run_python,
    "polars": run_python,
    "spark": run_spark,
}


def main() -> None:
    job = json.load(sys.stdin)
    for snippet in job["snippets"]:
        print(json.dumps(ENGINES[snippet["engine"]](snippet["code"], Job(None, job["jars"]))), flush=True)


if __name__ == "__main__":
    main()
