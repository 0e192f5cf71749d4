#!/usr/bin/env python3
"""The store is full while the agent runs: degraded, the agent runs on, the lease is kept; then recovered."""
import subprocess
from story import is_alive, run


def main(story):
    story.store.mkdir()
    story.mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", story.store)
    a, b = story.node("a", ttl_ms=3000), story.node("b")
    a.shell("head -c 4000000 /dev/urandom >$AGENT_STATE_DIR/big; exec sleep 1000")
    a.wait_event("degraded: ")
    status = a.call("status", "-json")
    story.check(status["degraded"] and status["phase"] == "running", "visible in the status")
    agent = a.pid_of("sleep")
    story.wait(lambda: a.call("status", "-json")["metrics"]["agent_checkpoints_failed_total"] >= 4,
               "tried again and again")
    story.check(is_alive(agent) and not a.has("fenced"), "the agent runs, the lease is kept")
    story.equal(len([e for e in a.events() if e.startswith("degraded: ")]), 1, "told once")
    subprocess.run(["mount", "-o", "remount,size=32m", story.store], check=True)
    a.wait_event("recovered: checkpoints are committed")
    story.check(not a.call("status", "-json")["degraded"], "well again in the status")
    a.kill_all()
    b.shell("wc -c <$AGENT_STATE_DIR/big")
    story.equal(b.wait_exit(), 0, "exit code")
    story.check("4000000" in b.text(), "nothing is lost")


run(main)
