# SPDX-License-Identifier: Apache-2.0
"""Reads a cohort file with DuckDB and with pandas and holds both against the
report that `cohort build --json` printed: read.py FILE REPORT."""

import json
import sys

import duckdb
import pandas

path, report = sys.argv[1], json.load(open(sys.argv[2]))


def want(what, got, expected):
    if got != expected:
        sys.exit(f"{what}: {got}, want {expected}")


columns = dict(duckdb.sql(f"select column_name, column_type from (describe select * from '{path}')").fetchall())
frame = pandas.read_parquet(path)
want("columns of pandas", sorted(frame.columns), sorted(columns))
for name, kind in {"patient": "VARCHAR", "stay": "VARCHAR", "step": "BIGINT", "lactate": "DOUBLE", "timeline": "JSON"}.items():
    want(f"type of {name}", columns.get(name), kind)

rows, stays, patients = duckdb.sql(f"select count(*), count(distinct stay), count(distinct patient) from '{path}'").fetchall()[0]
want("rows of DuckDB", rows, report["steps"])
want("stays of DuckDB", stays, report["stays"])
want("patients of DuckDB", patients, report["patients"])
want("rows of pandas", len(frame), report["steps"])
want("stays of pandas", frame["stay"].nunique(), report["stays"])

# What is not known is null in both, and the rest is the same numbers.
for name in ("lactate", "heart_rate", "creatinine"):
    known, total = duckdb.sql(f'select count("{name}"), sum("{name}") from \'{path}\'').fetchall()[0]
    want(f"known values of {name}", int(frame[name].notna().sum()), known)
    if abs(frame[name].sum() - total) > 1e-6 * abs(total):
        sys.exit(f"sum of {name}: {frame[name].sum()}, want {total}")
want("timelines that are JSON", all(json.loads(t) for t in frame["timeline"].head(50)), True)
print(f"DuckDB {duckdb.__version__} and pandas {pandas.__version__} read {rows} rows of {stays} stays alike")
