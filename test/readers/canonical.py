"""One exact text for each row, whichever engine read it; canonical.ts makes the same from Postgres and DuckDB.

A row is a JSON array of its cells in the order of the job's columns, a cell null or a string (an array: a JSON array):

    boolean                    true, false
    byte short integer long    decimal digits
    float double               shortest digits that give the same double, as d.ddde+n (a float as the double that it is);
                               NaN, Infinity, -Infinity, -0e+0
    decimal(p,s)               all s digits behind the point; no -0
    string                     itself
    binary                     lower-case hex
    date                       days since 1970-01-01
    timestamp timestamp_ntz    microseconds since 1970-01-01 00:00 (UTC, or of no zone)
    array<type>                a JSON array of cells
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

Cell = str | list["Cell"] | None


class WrongType(Exception):
    """An engine gave a column a type that its Delta type is not."""


def canonical_rows(batches: Iterable[pa.RecordBatch], types: Sequence[str]) -> Iterator[str]:
    for batch in batches:
        columns = [cells(batch.column(i), delta_type) for i, delta_type in enumerate(types)]
        for row in zip(*columns, strict=True):
            yield json.dumps(row, ensure_ascii=False, separators=(",", ":"))


def cells(column: pa.Array, delta_type: str) -> list[Cell]:
    if pa.types.is_null(column.type):
        return [None] * len(column)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    element = re.fullmatch(r"array<(.*)>", delta_type)
    if element is not None:
        return _lists(column, element.group(1))
    return _scalars(column, delta_type)


def _lists(column: pa.Array, element: str) -> list[Cell]:
    _check(column, "array", lambda t: pa.types.is_list(t) or pa.types.is_large_list(t) or _is_list_view(t))
    items = iter(cells(pc.list_flatten(column), element))
    lengths = pc.list_value_length(column).to_pylist()
    return [None if length is None else [next(items) for _ in range(length)] for length in lengths]


def _scalars(column: pa.Array, delta_type: str) -> list[Cell]:
    if delta_type == "boolean":
        _check(column, delta_type, lambda t: pa.types.is_boolean(t) or t == pa.uint8())
        return _each(column.cast(pa.bool_()), lambda value: "true" if value else "false")
    if delta_type in ("byte", "short", "integer", "long"):
        _check(column, delta_type, pa.types.is_integer)
        return _each(column, str)
    if delta_type in ("float", "double"):
        _check(column, delta_type, lambda t: t == (pa.float32() if delta_type == "float" else pa.float64()))
        return _each(column.cast(pa.float64()), _float)
    if delta_type.startswith("decimal"):
        scale = int(delta_type.removesuffix(")").split(",")[1])
        _check(column, delta_type, lambda t: pa.types.is_decimal(t) and t.scale == scale)
        return _each(column, _decimal)
    if delta_type == "string":
        _check(column, delta_type, lambda t: pa.types.is_string(t) or pa.types.is_large_string(t) or t == pa.string_view())
        return column.to_pylist()
    if delta_type == "binary":
        _check(column, delta_type, lambda t: pa.types.is_binary(t) or pa.types.is_large_binary(t) or t == pa.binary_view())
        return _each(column, lambda value: value.hex())
    if delta_type == "date":
        _check(column, delta_type, pa.types.is_date32)
        return _each(column.cast(pa.int32()), str)
    if delta_type == "timestamp":
        _check(column, delta_type, lambda t: pa.types.is_timestamp(t) and t.tz in ("UTC", "Etc/UTC", "+00:00"))
        return _each(column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64()), str)
    if delta_type == "timestamp_ntz":
        _check(column, delta_type, lambda t: pa.types.is_timestamp(t) and t.tz is None)
        return _each(column.cast(pa.timestamp("us")).cast(pa.int64()), str)
    raise WrongType(f"the type {delta_type} has no canonical form")


def _is_list_view(arrow_type: pa.DataType) -> bool:
    return pa.types.is_list_view(arrow_type) or pa.types.is_large_list_view(arrow_type)


def _check(column: pa.Array, delta_type: str, fits: Callable[[pa.DataType], bool]) -> None:
    if not fits(column.type):
        raise WrongType(f"{delta_type} came as {column.type}")


def _each(column: pa.Array, text: Callable[[Any], str]) -> list[Cell]:
    return [None if value is None else text(value) for value in column.to_pylist()]


def _float(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    assert isinstance(exponent, int)
    shortest = "".join(map(str, digits)).lstrip("0")
    power = len(shortest) - 1 + exponent if shortest else 0
    shortest = shortest.rstrip("0") or "0"
    fraction = f".{shortest[1:]}" if len(shortest) > 1 else ""
    return f"{'-' if sign else ''}{shortest[0]}{fraction}e{'-' if power < 0 else '+'}{abs(power)}"


def _decimal(value: Decimal) -> str:
    text = format(value, "f")
    return text.removeprefix("-") if value == 0 else text
