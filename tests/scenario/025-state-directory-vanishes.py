#!/usr/bin/env python3
"""The state directory is moved away under an idle agent: told, never saved as empty, saved again when it is back."""
import os
from story import run


def main(story):
    a, b = story.node("a", stop_timeout="3s"), story.node("b")
    a.shell("echo one >$AGENT_STATE_DIR/x; trap 'exit 0' TERM; while :; do sleep 0.05; done")
    a.wait_event("checkpoint .* committed: sequence 1")
    away = a.dir / "away"
    os.rename(a.state, away)
    a.wait_event("degraded: state directory .* is gone")
    packs = story.packs()
    story.check(a.call("status", "-json")["degraded"], "visible in the status")
    (away / "y").write_text("two\n")
    os.rename(away, a.state)
    a.wait_event("recovered: ")
    story.wait(lambda: a.call("status", "-json")["checkpoint"]["sequence"] == 2, "the next checkpoint")
    story.check(len(story.packs()) == len(packs) + 1, "none in between")
    os.rename(a.state, away)
    a.send(15)
    story.equal(a.wait_exit(), 75, "exit code: what is not there is not saved")
    b.shell('cat "$AGENT_STATE_DIR/x" "$AGENT_STATE_DIR/y"')
    story.equal(b.wait_exit(), 0, "exit code")
    story.check("one\ntwo\n" in b.text(), "the last state that was there")


run(main)
