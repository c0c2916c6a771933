"""Opens engines that know nothing of Sluice, each as a function that reads the rows of a Delta table (engine.py)."""

import glob
import importlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa


@dataclass(frozen=True)
class S3:
    endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str


@dataclass(frozen=True)
class Table:
    name: str
    location: str
    columns: tuple[tuple[str, str], ...]
    where: str | None = None

    @property
    def in_s3(self) -> bool:
        return self.location.startswith("s3://")

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.columns]

    @property
    def condition(self) -> str:
        return "" if self.where is None else f" WHERE {self.where}"


@dataclass(frozen=True)
class Job:
    s3: S3 | None
    jars: str


Batches = Iterable[pa.RecordBatch]
Reader = Callable[[Table], Batches]


def open_deltalake(job: Job) -> Reader:
    """delta-rs. Its to_pyarrow_table() refuses deletion vectors; its QueryBuilder (DataFusion) reads them."""
    from deltalake import DeltaTable, QueryBuilder

    def read(table: Table) -> Batches:
        delta = DeltaTable(table.location, storage_options=object_store_options(job, table))
        names = ", ".join(quoted(name, '"') for name in table.names)
        check_columns(table, [field.name for field in delta.schema().fields])
        answer = QueryBuilder().register("t", delta).execute(f"SELECT {names} FROM t{table.condition}")
        return pa.RecordBatchReader.from_stream(answer)

    return read


def open_duckdb(job: Job) -> Reader:
    """DuckDB with its delta extension, which is delta-kernel-rs. The extensions come as packages: no download."""
    import duckdb

    connection = duckdb.connect(config={"threads": 2})
    for extension in ("httpfs", "delta"):
        connection.execute(f"LOAD '{extension_file(extension)}'")
    connection.execute("SET TimeZone = 'UTC'")
    if job.s3 is not None:
        endpoint = urlsplit(job.s3.endpoint)
        connection.execute(
            f"CREATE SECRET (TYPE s3, URL_STYLE 'path', USE_SSL {endpoint.scheme == 'https'},"
            f" ENDPOINT {literal(endpoint.netloc)}, REGION {literal(job.s3.region)},"
            f" KEY_ID {literal(job.s3.access_key_id)}, SECRET {literal(job.s3.secret_access_key)})"
        )

    def read(table: Table) -> Batches:
        relation = f"delta_scan({literal(table.location)})"
        described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
        check_columns(table, [name for name, *_ in described])
        names = ", ".join(quoted(name, '"') for name in table.names)
        return connection.execute(f"SELECT {names} FROM {relation}{table.condition}").to_arrow_reader(10_000)

    return read


def open_polars(job: Job) -> Reader:
    import polars

    def read(table: Table) -> Batches:
        frame = polars.scan_delta(table.location, storage_options=object_store_options(job, table))
        check_columns(table, frame.collect_schema().names())
        if table.where is not None:
            frame = frame.filter(polars.sql_expr(table.where))
        return frame.select(table.names).collect().to_arrow().to_batches()

    return read


spark_frames: dict[str, Any] = {}


def open_spark(job: Job) -> Reader:
    session = spark_session(job)

    def read(table: Table) -> Batches:
        # A table that is asked for with many conditions is opened once.
        frame = spark_frames.get(table.location)
        if frame is None:
            frame = session.read.format("delta").load(table.location.replace("s3://", "s3a://", 1))
            spark_frames[table.location] = frame
        check_columns(table, frame.columns)
        if table.where is not None:
            frame = frame.where(table.where)
        return frame.select([quoted(name, "`") for name in table.names]).toArrow().to_batches()

    return read


def spark_session(job: Job) -> Any:
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").appName("readers")
    for key, value in spark_settings(job).items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def spark_settings(job: Job) -> dict[str, str]:
    settings = {
        "spark.jars": ",".join(sorted(glob.glob(os.path.join(job.jars, "*.jar")))),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # Tables are small and many: what makes much work fast costs more here than it saves.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.adaptive.enabled": "false",
        "spark.sql.shuffle.partitions": "1",
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.log.level": "ERROR",
    }
    if job.s3 is not None:
        settings |= {
            "spark.hadoop.fs.s3a.endpoint": job.s3.endpoint,
            "spark.hadoop.fs.s3a.endpoint.region": job.s3.region,
            "spark.hadoop.fs.s3a.access.key": job.s3.access_key_id,
            "spark.hadoop.fs.s3a.secret.key": job.s3.secret_access_key,
            "spark.hadoop.fs.s3a.path.style.access": "true",
        }
    return settings


def open_chdb(job: Job) -> Reader:
    """ClickHouse in the process. It reads local tables only below its working folder."""
    import chdb

    os.chdir("/")
    # chdb.query() starts ClickHouse anew each time.
    connection = chdb.connect(":memory:")
    settings = "output_format_arrow_string_as_string = 0, output_format_arrow_compression_method = 'none'"

    def query(sql: str) -> pa.Table:
        answer = connection.query(f"{sql} SETTINGS {settings}", "Arrow")
        return pa.ipc.open_file(pa.py_buffer(answer.bytes())).read_all()

    def read(table: Table) -> Batches:
        source = chdb_source(job, table)
        check_columns(table, query(f"SELECT * FROM {source} LIMIT 0").column_names)
        names = ", ".join(quoted(name, "`") for name in table.names)
        rows = query(f"SELECT {names} FROM {source}{table.condition}")
        for i, (name, kind) in enumerate(table.columns):
            told = chdb_type(kind)
            if told is not None:
                rows = rows.set_column(i, name, rows.column(i).cast(told))
        return rows.to_batches()

    return read


def chdb_type(kind: str) -> pa.DataType | None:
    """What ClickHouse does not tell apart, null for the rest: text and bytes, timestamps with and without a zone."""
    if kind.startswith("array<"):
        element = chdb_type(kind[len("array<") : -1])
        return None if element is None else pa.list_(element)
    return {"string": pa.string(), "timestamp_ntz": pa.timestamp("us")}.get(kind)


def chdb_source(job: Job, table: Table) -> str:
    if not table.in_s3:
        return f"deltaLakeLocal({literal(table.location)})"
    assert job.s3 is not None
    address = f"{job.s3.endpoint}/{table.location.removeprefix('s3://')}/"
    return f"deltaLake({literal(address)}, {literal(job.s3.access_key_id)}, {literal(job.s3.secret_access_key)})"


READERS: dict[str, Callable[[Job], Reader]] = {
    "deltalake": open_deltalake,
    "duckdb": open_duckdb,
    "polars": open_polars,
    "spark": open_spark,
    "chdb": open_chdb,
}


def forget(engine: str, job: Job) -> None:
    """Has an engine open tables anew: Spark keeps their logs and reads on from there; the others keep nothing."""
    if engine != "spark":
        return
    spark_frames.clear()
    spark_session(job)._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()


def object_store_options(job: Job, table: Table) -> dict[str, str] | None:
    """What delta-rs and polars call an object store's settings."""
    if not table.in_s3:
        return None
    assert job.s3 is not None
    return {
        "aws_endpoint_url": job.s3.endpoint,
        "aws_region": job.s3.region,
        "aws_access_key_id": job.s3.access_key_id,
        "aws_secret_access_key": job.s3.secret_access_key,
        "aws_allow_http": "true",
    }


def extension_file(name: str) -> str:
    folder = os.path.dirname(importlib.import_module(f"duckdb_extension_{name}").__file__ or "")
    [file] = glob.glob(os.path.join(folder, "extensions", "*", f"{name}.duckdb_extension"))
    return file


def check_columns(table: Table, names: list[str]) -> None:
    if names != table.names:
        raise ValueError(f"columns are {names}, expected {table.names}")


def quoted(name: str, quote: str) -> str:
    return quote + name.replace(quote, quote * 2) + quote


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
