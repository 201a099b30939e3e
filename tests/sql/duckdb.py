"""Answers for the tests: statements come in as lines of JSON, their rows go out as lines of JSON.

{"load": name, "columns": [[name, type], ...], "values": [[...], ...]}   a list of values for each column
{"sql": statement}
"""

import json
import sys

import duckdb


def answer(database, request):
    if "load" not in request:
        return {"rows": database.execute(request["sql"]).fetchall()}
    name, columns = request["load"], request["columns"]
    types = ", ".join(f'"{column}" {kind}' for column, kind in columns)
    lists = ", ".join(f"unnest(?::{kind}[])" for _, kind in columns)
    database.execute(f"CREATE OR REPLACE TABLE {name} ({types})")
    database.execute(f"INSERT INTO {name} SELECT {lists}", request["values"])
    return {"rows": []}


def main():
    database = duckdb.connect()
    database.execute("SET threads = 1")
    for line in sys.stdin:
        try:
            reply = answer(database, json.loads(line))
        except Exception as error:  # Whatever it is, the test shows it.
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


main()
