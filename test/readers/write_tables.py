"""Writes the tables that the readers are tried on, by Spark and by delta-rs: python write_tables.py FOLDER JARS."""

import sys
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake

from read_tables import Job, spark_settings

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
LONGEST = "99999999999999999999999999.999999999999"


def write_every_type(folder: Path) -> None:
    """Two rows at the ends of what each type holds, one of awkward values, one of nulls."""
    micros = [-62_135_596_800_000_000, 253_402_300_799_999_999, -1, None]
    stamps = [None if value is None else EPOCH + timedelta(microseconds=value) for value in micros]
    columns = {
        "id": pa.array([1, 2, 3, 4], pa.int64()),
        "flag": pa.array([True, False, True, None]),
        "tiny": pa.array([-128, 127, 0, None], pa.int8()),
        "small": pa.array([-32_768, 32_767, 0, None], pa.int16()),
        "whole": pa.array([-(2**31), 2**31 - 1, 0, None], pa.int32()),
        "large": pa.array([-(2**63), 2**63 - 1, 0, None], pa.int64()),
        "single": pa.array([0.1, float("inf"), -0.0, None], pa.float32()),
        "twice": pa.array([5e-324, 1.7976931348623157e308, 1e16, None], pa.float64()),
        "odd": pa.array([float("nan"), float("-inf"), -0.0, None], pa.float64()),
        "money": decimals([LONGEST, f"-{LONGEST}", "-0.000000000001", None], 38, 12),
        "cents": decimals(["1.20", "-0.05", "0.00", None], 9, 2),
        "words": pa.array(["", 'a "b" \\ \n\t\x01\x7f\u2028', "é 漢 🙂", None], pa.string()),
        "bytes": pa.array([b"", b"\x00\xff", bytes(range(256)), None], pa.binary()),
        "day": pa.array([date(1, 1, 1), date(9999, 12, 31), date(1969, 12, 31), None], pa.date32()),
        "moment": pa.array(stamps, pa.timestamp("us", "UTC")),
        "clock": pa.array([None if s is None else s.replace(tzinfo=None) for s in stamps], pa.timestamp("us")),
        "numbers": pa.array([[1, None, 3], [], [-(2**63)], None], pa.list_(pa.int64())),
        "texts": pa.array([["", None, 'x"y'], [], ["a"], None], pa.list_(pa.string())),
    }
    write_deltalake(str(folder / "every_type"), pa.table(columns))


def decimals(texts: list[str | None], precision: int, scale: int) -> pa.Array:
    return pa.array(texts, pa.string()).cast(pa.decimal128(precision, scale))


def write_with_deletion_vectors(folder: Path, jars: str) -> None:
    """Tables that lost rows by Spark's DELETE: a few, scattered ones by two commits, and stretches of two files."""
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").appName("writer")
    for key, value in spark_settings(Job(None, jars)).items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    spark.conf.set("spark.databricks.delta.properties.defaults.enableDeletionVectors", "true")
    losses = {
        "few": (1_000, 1, ["id IN (3, 4, 7, 11, 18, 29)"]),
        "scattered": (200_000, 1, ["id % 7 = 3", "id % 11 = 5"]),
        "stretches": (200_000, 2, ["id BETWEEN 100 AND 80000 OR id BETWEEN 130000 AND 180000 OR id % 2 = 0"]),
    }
    for name, (rows, files, conditions) in losses.items():
        place = str(folder / name)
        spark.range(0, rows, 1, files).selectExpr("id", "concat('row ', id) AS name").write.format("delta").save(place)
        for condition in conditions:
            spark.sql(f"DELETE FROM delta.`{place}` WHERE {condition}")
    spark.stop()


if __name__ == "__main__":
    write_every_type(Path(sys.argv[1]))
    write_with_deletion_vectors(Path(sys.argv[1]), sys.argv[2])
