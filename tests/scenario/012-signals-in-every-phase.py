#!/usr/bin/env python3
"""SIGTERM, SIGINT while waiting and while running: ends in time, nothing left, the lease is free or expires."""
import signal
from story import is_alive, run


def main(story):
    a = story.node("a")
    a.shell("exec sleep 1000")
    a.wait_event("gate open")
    for n, number in enumerate((signal.SIGTERM, signal.SIGINT)):
        b = story.node(f"b{n}")
        b.shell("echo ran; exec sleep 1000")
        b.wait_event("standby: ")
        pids = b.pids()
        b.send(number)
        b.wait_exit(2)
        story.wait(lambda: not any(map(is_alive, pids)), "nothing left of the standby", 3)
        story.check("ran\n" not in b.text(), "the standby never ran")
    story.check(not a.has("fenced") and a.call("status", "-json")["role"] == "active", "the holder stayed")
    a.send(signal.SIGTERM)
    a.wait_exit()
    for n, number in enumerate((signal.SIGTERM, signal.SIGINT)):
        c = story.node(f"c{n}")
        c.shell("exec sleep 1000")
        c.wait_event("gate open")
        story.check(not c.has("standby"), "the lease was free")
        pids = c.pids()
        c.send(number)
        c.wait_exit(5)
        story.check(c.has("lease released"), "released")
        story.wait(lambda: not any(map(is_alive, pids)), "nothing left", 3)


run(main)
