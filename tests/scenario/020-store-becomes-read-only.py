#!/usr/bin/env python3
"""The store becomes read-only while the agent runs: degraded, fenced in time, nothing overwritten; then it goes on."""
import subprocess
import time
from story import run


def remount(store, how):
    subprocess.run(["mount", "-o", f"remount,{how},bind", store], check=True)


def main(story):
    story.store.mkdir()
    story.mount("--bind", story.store, story.store)
    a = story.node("a")
    a.shell("echo one >$AGENT_STATE_DIR/x; while :; do date +%N >$AGENT_STATE_DIR/y; sleep 0.05; done")
    a.wait_event("checkpoint .* committed: sequence 1")
    remount(story.store, "ro")
    began, before = time.monotonic(), story.digest()
    degraded = a.wait_event("degraded: .*Read-only file system")
    story.check(f'"{story.store}"' in degraded, f"which store: {degraded}")
    story.check(not a.has("fenced"), "the agent runs on until the lease ends")
    story.equal(a.wait_exit(a.ttl_s + 2), 79, "exit code FENCED")
    story.check(time.monotonic() - began < a.ttl_s + 1, "ended within the ttl")
    story.equal(story.digest(), before, "the store")
    remount(story.store, "rw")
    a.shell('cat "$AGENT_STATE_DIR/x"')
    a.wait_event("unsaved state was kept: ")
    story.equal(a.wait_exit(), 0, "exit code when it can be written again")
    story.check("one\n" in a.text() and len(list(a.dir.glob("state.unsaved-*/y"))) == 1, "both states are there")


run(main)
