#!/usr/bin/env python3
"""compare.py STATE_A STATE_B EFFECTS_A EFFECTS_B [--epochs=FIRST,LAST] - two runs of the indexer.

Exits 0 when both states hold the same rows and results, and the effects of B name every key of A
in order, with at most one key twice for each change of epoch, never an older epoch after a newer
one. Prints what differs."""
import json
import pathlib
import sqlite3
import sys


def rows(state):
    db = sqlite3.connect(f"file:{state}/index.db?mode=ro", uri=True)
    tables = {
        "document": "SELECT step, path, sha256, words, nearest, similarity, announced FROM document"
                    " ORDER BY step",
        "posting": "SELECT term, step, count FROM posting ORDER BY term, step",
        "total": "SELECT name, value FROM total ORDER BY name",
    }
    return {name: db.execute(query).fetchall() for name, query in tables.items()}


def results(state):
    return {p.name: p.read_bytes() for p in sorted(pathlib.Path(state, "results").glob("*.json"))}


def effects(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


def check_effects(expected, got, wrong):
    keys, epochs = [e["key"] for e in got], [e["epoch"] for e in got]
    missing = [e["key"] for e in expected if e["key"] not in keys]
    if missing:
        wrong.append(f"effects missing: {missing[:5]} ({len(missing)})")
    foreign = set(keys) - {e["key"] for e in expected}
    if foreign:
        wrong.append(f"effects nobody asked for: {sorted(foreign)[:5]}")
    twice = sorted({key for key in keys if keys.count(key) > 1})
    changes = sum(a != b for a, b in zip(epochs, epochs[1:]))
    if len(twice) > changes or any(keys.count(key) > 1 + changes for key in twice):
        wrong.append(f"keys repeated {twice} over {changes} change(s) of epoch")
    if epochs != sorted(epochs):
        wrong.append("an older epoch acted after a newer one")
    first = []
    for key in keys:
        if key not in first:
            first.append(key)
    if not missing and first != [e["key"] for e in expected]:
        wrong.append("effects came in another order")
    return {"effects": len(keys), "distinct": len(set(keys)), "twice": twice,
            "epochs": sorted(set(epochs))}


def main(arguments):
    paths = [a for a in arguments if not a.startswith("--")]
    if len(paths) != 4:
        print(__doc__, file=sys.stderr)
        return 64
    wrong = []
    rows_a, rows_b = rows(paths[0]), rows(paths[1])
    for table, expected in rows_a.items():
        if expected != rows_b[table]:
            wrong.append(f"table {table} differs: {len(expected)} rows and {len(rows_b[table])}")
    if results(paths[0]) != results(paths[1]):
        wrong.append("result files differ")
    summary = check_effects(effects(paths[2]), effects(paths[3]), wrong)
    for option in arguments:
        if option.startswith("--epochs="):
            want = [int(e) for e in option.removeprefix("--epochs=").split(",")]
            if summary["epochs"] != want:
                wrong.append(f"epochs are {summary['epochs']}, expected {want}")
    summary["rows"] = {table: len(found) for table, found in rows_b.items()}
    print(json.dumps(summary))
    for line in wrong:
        print(f"DIFFERENT: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
