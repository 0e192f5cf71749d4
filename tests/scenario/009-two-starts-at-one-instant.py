#!/usr/bin/env python3
"""Two nodes start at the same instant: one runs, one waits; the other runs when the first is done."""
import signal
from story import run


def main(story):
    a, b = story.node("a"), story.node("b")
    for node in (a, b):
        node.shell("echo $AGENT_EPOCH >>$AGENT_STATE_DIR/epochs; exec sleep 1000")
    story.wait(lambda: a.has("gate open: epoch 1") or b.has("gate open: epoch 1"), "one is active")
    active, waiting = (a, b) if a.has("gate open") else (b, a)
    waiting.wait_event(rf"standby: waiting for the lease held by {active.node} \(epoch 1\)")
    story.equal(waiting.call("status", "-json")["role"], "standby", "role")
    story.check(not waiting.has("gate open"), "only one gate")
    active.wait_event("checkpoint ")
    active.send(signal.SIGTERM)
    active.wait_exit()
    waiting.wait_event("gate open: epoch 2", waiting.ttl_s)
    story.wait(lambda: (waiting.state / "epochs").read_text() == "1\n2\n", "both epochs in the state")


run(main)
