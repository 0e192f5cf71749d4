#!/usr/bin/env python3
"""SIGSTOP of the sidecar: the shim ends the agent at the deadline, without anybody's help."""
import os
import signal
import time
from story import is_alive, run


def main(story):
    a = story.node("a")
    a.shell("exec sleep 1000")
    a.wait_event("gate open")
    sidecar, agent = a.pid_of("agent-sidecar"), a.pid_of("sleep")
    os.kill(sidecar, signal.SIGSTOP)
    stopped = time.monotonic()
    story.wait(lambda: not is_alive(agent), "the agent is dead", a.ttl_s + 0.3)
    story.check(time.monotonic() - stopped > a.ttl_s / 3, "not before the lease was in danger")
    story.equal(a.wait_exit(), 79, "exit code FENCED")
    story.check(not is_alive(sidecar), "the sidecar is gone too")


run(main)
