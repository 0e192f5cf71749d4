#!/usr/bin/env python3
"""Asked to stop while the store is away: ends in time, says what is not saved, and releases nothing."""
import os
import signal
import time
from story import is_alive, run


def main(story):
    a = story.node("a", ttl_ms=8000, stop_timeout="3s")
    a.shell("trap 'echo last >$AGENT_STATE_DIR/y; exit 0' TERM; echo one >$AGENT_STATE_DIR/x; "
            "while :; do sleep 0.05; done")
    a.wait_event("checkpoint .* committed: sequence 1")
    os.rename(story.store, story.dir / "away")
    pids = a.pids()
    a.send(signal.SIGTERM)
    began = time.monotonic()
    story.equal(a.wait_exit(5), 75, "exit code UNAVAILABLE")
    story.check(time.monotonic() - began < 3.5, "ended in time")
    story.check(a.has("failed: save final state: "), "said what is not saved")
    story.check(not a.has("lease released"), "nothing released")
    story.wait(lambda: not any(map(is_alive, pids)), "nothing left", 3)
    os.rename(story.dir / "away", story.store)
    a.shell("cat $AGENT_STATE_DIR/x")
    a.wait_event("standby: waiting for the lease held by a")
    story.equal(a.wait_exit(), 0, "exit code after the ttl")
    story.check("one\n" in a.text(), "what was committed is there")


run(main)
