#!/usr/bin/env python3
"""SIGKILL of the agent: saved and released. Of the sidecar: agent stopped, exit 75, ttl later it goes on.
Of the shim: the kernel ends the agent, the sidecar leaves without a release."""
import os
import signal
from story import is_alive, run


def main(story):
    a = story.node("a")
    a.shell("echo one >>$AGENT_STATE_DIR/x; exec sleep 1000")
    a.wait_event("checkpoint .* committed")
    os.kill(a.pid_of("sleep"), signal.SIGKILL)
    story.equal(a.wait_exit(), 128 + signal.SIGKILL, "exit code of a killed agent")
    story.check(a.has("final checkpoint") and a.has("lease released"), "saved and released")
    a.shell("echo two >>$AGENT_STATE_DIR/x; exec sleep 1000")
    a.wait_event("checkpoint .* committed")
    agent = a.pid_of("sleep")
    os.kill(a.pid_of("agent-sidecar"), signal.SIGKILL)
    story.equal(a.wait_exit(), 75, "exit code SIDECAR_LOST")
    story.check(not is_alive(agent), "no agent without a sidecar")
    a.shell("exec sleep 1000")
    a.wait_event("gate open")
    left = [a.pid_of("agent-sidecar"), a.pid_of("sleep")]
    os.kill(a.process.pid, signal.SIGKILL)
    story.wait(lambda: not any(map(is_alive, left)), "agent and sidecar end with the shim", 1)
    a.wait_exit()
    story.check(not a.has("lease released"), "no release by a sidecar that cannot know")
    a.shell("cat $AGENT_STATE_DIR/x")
    a.wait_event("standby: waiting for the lease held by a")
    story.equal(a.wait_exit(), 0, "exit code")
    story.check("one\ntwo\n" in a.text(), "both lines")


run(main)
