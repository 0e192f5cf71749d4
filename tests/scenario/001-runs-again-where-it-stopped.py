#!/usr/bin/env python3
"""First run, end, second run on another node: it goes on with the state of the first."""
from story import run


def main(story):
    a, b = story.node("a"), story.node("b")
    a.shell("echo one >$AGENT_STATE_DIR/x; exit 3")
    story.equal(a.wait_exit(), 3, "the agent's own exit code")
    story.check(a.has("first start: no checkpoint yet"), "told as a first start")
    order = [next(i for i, e in enumerate(a.events()) if e.startswith(start)) for start in
             ("lease acquired: epoch 1", "first start", "gate open: epoch 1", "final checkpoint",
              "lease released: epoch 1")]
    story.equal(order, sorted(order), "order of a whole life")
    b.shell("cat $AGENT_STATE_DIR/x; echo restored=$AGENT_RESTORED epoch=$AGENT_EPOCH")
    story.equal(b.wait_exit(), 0, "exit code")
    story.check("one\n" in b.text() and "epoch=2" in b.text(), "state and epoch of the second run")
    story.check("restored=00000001-" in b.text(), "AGENT_RESTORED names the checkpoint")
    story.check(not b.has("standby"), "a released lease needs no wait")


run(main)
