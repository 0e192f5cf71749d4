#!/usr/bin/env python3
"""The record is gone, the packs are there: no start; -without-record reads them, and the state is saved."""
import subprocess
from story import run


def aloud(story, *args):
    """A command that works and says on stderr what it goes by."""
    done = subprocess.run([story.sidecar, *args], capture_output=True, text=True, timeout=60, check=False)
    story.equal(done.returncode, 0, f"exit code of {args} ({done.stderr})")
    return done


def main(story):
    a = story.node("a")
    a.shell("echo one >$AGENT_STATE_DIR/x; sleep 0.5; echo two >$AGENT_STATE_DIR/x")
    story.equal(a.wait_exit(), 0, "exit code")
    records = [p for p in story.store.rglob("record") if p.is_file()]
    story.equal(len(records), 1, "records")
    newest = a.call("list", "-json")[0]["id"]
    records[0].unlink()
    before = story.digest()
    a.shell("echo ran")
    story.equal(a.wait_exit(), 65, "exit code CORRUPT")
    story.check("the record is gone" in (a.has("failed: ") or "") and "ran\n" not in a.text(), "no start")
    a.call("list", code=66)
    listed = aloud(story, "list", "-json", "-without-record", f"-config={a.config}")
    story.check(newest in listed.stdout and "committed" in listed.stderr, "the newest pack, said loudly")
    to = story.dir / "out"
    aloud(story, "restore", f"-to={to}", "-without-record", f"-config={a.config}")
    story.equal((to / "x").read_text(), "two\n", "the newest state")
    story.equal(story.digest(), before, "the store")


run(main)
