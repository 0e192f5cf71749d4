#!/usr/bin/env python3
"""The store goes away: fenced within the ttl. It is still away: wait, never start empty. It is back: go on."""
import os
import signal
import time
from story import run


def main(story):
    a, b = story.node("a"), story.node("b", store=f"file://{story.store}")
    a.shell("echo one >$AGENT_STATE_DIR/x; exec sleep 1000")
    a.wait_event("checkpoint .* committed: sequence 1")
    a.send(signal.SIGTERM)
    a.wait_exit()
    b.shell("cat $AGENT_STATE_DIR/x; exec sleep 1000")
    b.wait_event("gate open: epoch 2")
    away = story.dir / "away"
    os.rename(story.store, away)
    lost = time.monotonic()
    story.equal(b.wait_exit(b.ttl_s + 1.5), 79, "exit code FENCED")
    story.check(b.has("degraded: "), "told as degraded first")
    story.check(time.monotonic() - lost < b.ttl_s + 0.7, "ended within the ttl")
    b.shell("cat $AGENT_STATE_DIR/x; echo again")
    b.wait_event("degraded: ")
    time.sleep(0.5)
    story.check(not b.has("gate open") and not story.store.exists(), "no start, nothing made")
    os.rename(away, story.store)
    b.wait_event("recovered: ")
    story.equal(b.wait_exit(), 0, "exit code")
    story.check("one\nagain" in b.text() and b.has("gate open: epoch 3"), "the state is there")


run(main)
