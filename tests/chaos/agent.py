#!/usr/bin/env python3
"""The agent of the chaos suite: counts for ever; each step is durable before it is said.

A step is a row in SQLite (WAL) and a line in a JSONL file, then the barrier, then one line
{epoch, step, instance, monotonic time} in EFFECTS_LOG. It never stops by itself. On a start it says the last step
again: nobody knows whether it was said."""
import http.client
import json
import os
import pathlib
import socket
import sqlite3
import sys
import time


def barrier(path):
    connection = http.client.HTTPConnection("localhost", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.settimeout(30)
    connection.sock.connect(path)
    connection.request("POST", "/v1/barrier", body=b"")
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply.status == 200 or (print(f"barrier: {reply.status} {body!r}", flush=True), False)[1]


def main():
    state = pathlib.Path(os.environ["AGENT_STATE_DIR"])
    epoch, instance = int(os.environ["AGENT_EPOCH"]), os.environ.get("INSTANCE", "?")
    db = sqlite3.connect(state / "count.db")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE IF NOT EXISTS step(n INTEGER PRIMARY KEY, half INTEGER)")
    db.execute("CREATE TABLE IF NOT EXISTS total(n INTEGER)")
    db.execute("INSERT INTO total SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM total)")
    db.commit()
    rows = db.execute("SELECT count(*) FROM step").fetchone()[0]
    total = db.execute("SELECT n FROM total").fetchone()[0]
    lines = (state / "log.jsonl").read_text().splitlines() if (state / "log.jsonl").exists() else []
    if rows != total or len(lines) < total or (lines and not lines[-1].endswith("}")):
        print(f"TORN: {rows} rows, total {total}, {len(lines)} lines", flush=True)
        return 9
    # The last step may be durable and not said: it is said (again) with the same number.
    step = max(total - 1, 0)
    while True:
        if step == total:
            with open(state / "log.jsonl", "a", encoding="ascii") as log:
                log.write(json.dumps({"step": step, "epoch": epoch}) + "\n")
            with db:
                db.execute("INSERT INTO step VALUES(?, ?)", (step, step // 2))
                db.execute("UPDATE total SET n = n + 1")
            total += 1
        if not barrier(os.environ["AGENT_API"]):
            return 8
        line = json.dumps({"epoch": epoch, "step": step, "instance": instance, "at": time.monotonic_ns()}) + "\n"
        file = os.open(os.environ["EFFECTS_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(file, line.encode())
        os.close(file)
        step += 1


if __name__ == "__main__":
    sys.exit(main())
