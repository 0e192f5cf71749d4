#!/usr/bin/env python3
"""SIGTERM: the agent takes its time, what it writes last is in the final checkpoint, then the lease is free."""
import pathlib
import signal
import time
from story import run

AGENT = pathlib.Path(__file__).with_name("agent.py")


def main(story):
    a, b = story.node("a"), story.node("b")
    a.start("/usr/bin/python3", AGENT, GOODBYE_S="0.6", PACE_S="10")
    a.wait_text("said 0")
    a.send(signal.SIGTERM)
    began = time.monotonic()
    code = a.wait_exit()
    story.check(0.5 < time.monotonic() - began < 4, "stopped in its own time")
    story.equal(code, 0, "exit code of an agent that ends well when asked")
    events = a.events()
    final = next(i for i, e in enumerate(events) if e.startswith("final checkpoint"))
    story.check(events[final + 1].startswith("lease released"), "released after the final commit")
    b.shell("cat $AGENT_STATE_DIR/goodbye")
    story.equal(b.wait_exit(), 0, "exit code")
    story.check("written after the signal" in b.text(), "the last word is there")


run(main)
