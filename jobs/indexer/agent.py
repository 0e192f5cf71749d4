#!/usr/bin/env python3
"""An agent that builds a search index over a folder of text, one document a step.

State (under AGENT_STATE_DIR): index.db, a SQLite database in WAL mode; transcript.jsonl, one line
a step; results/, one file a document and report.json at the end. The only outward effect of a step
is one line in EFFECTS_LOG, a file outside the state that stands for the world. Before an effect the
agent calls the barrier: when it returns, the state that leads to the effect survives the loss of
the node. A step whose effect is not known to have happened is announced again with the same key.

Standard library only. Environment: AGENT_STATE_DIR, AGENT_API, AGENT_EPOCH, AGENT_NAME as the
sidecar sets them; CORPUS (folders or files, separated by colons), EFFECTS_LOG, PACE_MS (rest
between steps, as a polite client of a rate-limited service would)."""
import collections
import hashlib
import http.client
import json
import math
import os
import pathlib
import re
import signal
import socket
import sqlite3
import sys
import time

WORD = re.compile(r"[a-z][a-z0-9_]{2,}")
DOCUMENT_MAX = 1 << 20  # bytes read of one document


class Sidecar:
    """The local API: HTTP over the unix socket named by AGENT_API."""

    def __init__(self, path):
        self.path = path

    def post(self, call):
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.connect(self.path)
        connection.request("POST", call, body=b"")
        reply = connection.getresponse()
        body = json.loads(reply.read() or b"{}")
        connection.close()
        if reply.status != 200:
            raise RuntimeError(f"{call}: {reply.status} {body}")
        return body

    def barrier(self):
        return self.post("/v1/barrier")


class Index:
    """The SQLite side of the state; every step is one transaction."""

    def __init__(self, path):
        self.db = sqlite3.connect(path)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")
        self.db.executescript("""
            CREATE TABLE IF NOT EXISTS document(
                step INTEGER PRIMARY KEY, path TEXT UNIQUE, sha256 TEXT, words INTEGER,
                nearest TEXT, similarity REAL, announced INTEGER NOT NULL DEFAULT 0);
            CREATE TABLE IF NOT EXISTS posting(
                term TEXT, step INTEGER, count INTEGER, PRIMARY KEY(term, step)) WITHOUT ROWID;
            CREATE TABLE IF NOT EXISTS total(name TEXT PRIMARY KEY, value INTEGER);
            INSERT OR IGNORE INTO total VALUES('documents', 0), ('words', 0);
        """)

    def next_step(self):
        return self.db.execute("SELECT coalesce(max(step) + 1, 0) FROM document").fetchone()[0]

    def vectors(self):
        found = collections.defaultdict(dict)
        for term, step, count in self.db.execute("SELECT term, step, count FROM posting"):
            found[step][term] = count
        return found

    def add(self, step, path, digest, counts, nearest, similarity):
        words = sum(counts.values())
        with self.db:
            self.db.execute("INSERT INTO document(step, path, sha256, words, nearest, similarity)"
                            " VALUES(?, ?, ?, ?, ?, ?)",
                            (step, path, digest, words, nearest, similarity))
            self.db.executemany("INSERT INTO posting VALUES(?, ?, ?)",
                                [(term, step, count) for term, count in sorted(counts.items())])
            self.db.execute("UPDATE total SET value = value + 1 WHERE name = 'documents'")
            self.db.execute("UPDATE total SET value = value + ? WHERE name = 'words'", (words,))

    def unannounced(self):
        return self.db.execute("SELECT step, path, sha256 FROM document WHERE announced = 0"
                               " ORDER BY step").fetchall()

    def announced(self, step):
        with self.db:
            self.db.execute("UPDATE document SET announced = 1 WHERE step = ?", (step,))


def corpus(places):
    """Every readable text below the places, in one order on every node."""
    found = set()
    for place in map(pathlib.Path, places.split(":")):
        below = [place] if place.is_file() else place.rglob("*")
        found.update(p for p in below if p.is_file() and not p.is_symlink())
    return sorted(p for p in found if p.suffix in ("", ".py", ".txt", ".md", ".rst"))


def nearest(counts, vectors):
    """The earlier document with the largest cosine similarity."""
    length = math.sqrt(sum(c * c for c in counts.values()))
    best, best_step = 0.0, None
    for step in sorted(vectors):
        other = vectors[step]
        dot = sum(c * other.get(term, 0) for term, c in counts.items())
        norm = math.sqrt(sum(c * c for c in other.values()))
        score = dot / (length * norm) if dot else 0.0
        if score > best:
            best, best_step = score, step
    return best_step, round(best, 6)


def append_line(path, record):
    line = json.dumps(record, sort_keys=True) + "\n"
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line.encode())
        os.fsync(file)
    finally:
        os.close(file)


class Agent:
    def __init__(self, environ):
        self.state = pathlib.Path(environ["AGENT_STATE_DIR"])
        self.epoch = int(environ.get("AGENT_EPOCH", "0"))
        self.effects = environ["EFFECTS_LOG"]
        self.pace_s = int(environ.get("PACE_MS", "0")) / 1000
        self.sidecar = Sidecar(environ["AGENT_API"]) if "AGENT_API" in environ else None
        self.documents = corpus(environ.get("CORPUS", "/usr/share/common-licenses"))
        (self.state / "results").mkdir(parents=True, exist_ok=True)
        self.index = Index(self.state / "index.db")
        self.vectors = self.index.vectors()
        self.stopping = False

    def announce(self):
        """The outward effect of each step that has none yet: first durable, then said."""
        waiting = self.index.unannounced()
        if not waiting:
            return
        if self.sidecar:
            self.sidecar.barrier()
        for step, path, digest in waiting:
            append_line(self.effects, {"epoch": self.epoch, "key": f"{step:05d}-{digest[:12]}",
                                       "path": path, "step": step})
            self.index.announced(step)

    def work(self, step, path):
        text = path.read_bytes()[:DOCUMENT_MAX].decode("utf-8", "replace").lower()
        digest = hashlib.sha256(text.encode()).hexdigest()
        counts = dict(collections.Counter(WORD.findall(text)))
        near, similarity = nearest(counts, self.vectors)
        near_path = str(self.documents[near]) if near is not None else None
        top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:10]
        result = {"path": str(path), "nearest": near_path, "similarity": similarity, "top": top}
        target = self.state / "results" / f"{step:05d}.json"
        temporary = target.with_suffix(".tmp")
        temporary.write_text(json.dumps(result, indent=1))
        temporary.rename(target)
        append_line(self.state / "transcript.jsonl", {"step": step, "did": "indexed", **result})
        # Last: the row is what says that the step is done. A checkpoint may be cut before any line.
        self.index.add(step, str(path), digest, counts, near_path, similarity)
        self.vectors[step] = counts

    def report(self):
        totals = dict(self.index.db.execute("SELECT name, value FROM total"))
        common = self.index.db.execute("SELECT term, sum(count) AS n FROM posting GROUP BY term"
                                       " ORDER BY n DESC, term LIMIT 20").fetchall()
        (self.state / "results" / "report.json").write_text(
            json.dumps({"totals": totals, "common": common}, indent=1))

    def run(self):
        start = self.index.next_step()
        print(f"epoch {self.epoch}: step {start} of {len(self.documents)}", flush=True)
        self.announce()
        for step in range(start, len(self.documents)):
            if self.stopping:
                print(f"stopped before step {step}", flush=True)
                return 0
            self.work(step, self.documents[step])
            self.announce()
            time.sleep(self.pace_s)
        self.report()
        print(f"done: {len(self.documents)} documents", flush=True)
        return 0

    def stop(self, *_):
        self.stopping = True


def main():
    agent = Agent(os.environ)
    signal.signal(signal.SIGTERM, agent.stop)
    signal.signal(signal.SIGINT, agent.stop)
    return agent.run()


if __name__ == "__main__":
    sys.exit(main())
