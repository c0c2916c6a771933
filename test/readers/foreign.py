"""Does to a Delta table what other writers do, by delta-rs: python foreign.py VERB FOLDER [ARGUMENT]; prints what came of it."""

import json
import sys

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake


def act(verb: str, folder: str, argument: str) -> object:
    table = DeltaTable(folder)
    match verb:
        case "compact":
            return table.optimize.compact(target_size=1 << 30)
        case "delete":
            return table.delete(argument)
        case "append":
            # A row of nulls but for the columns that are given.
            given = json.loads(argument)
            schema = pa.schema(table.schema().to_arrow())
            write_deltalake(folder, pa.Table.from_pylist([{name: given.get(name) for name in schema.names}], schema), mode="append")
            return DeltaTable(folder).version()
        case "checkpoint":
            table.create_checkpoint()
            return table.version()
    raise ValueError(verb)


if __name__ == "__main__":
    print(json.dumps(act(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "")))
