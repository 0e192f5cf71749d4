#!/usr/bin/env python3
"""SIGKILL of everything at one instant: another node waits for the ttl and has every said step."""
import pathlib
import re
import time
from story import run

AGENT = pathlib.Path(__file__).with_name("agent.py")


def main(story):
    a, b = story.node("a"), story.node("b")
    a.start("/usr/bin/python3", AGENT)
    a.wait_text(r"said 20\b")
    b.start("/usr/bin/python3", AGENT, STEPS="60")
    b.wait_event(r"standby: waiting for the lease held by a \(epoch 1\)")
    died = time.monotonic()
    a.kill_all()
    said = max(map(int, re.findall(r"said (\d+)", a.text())))
    b.wait_event("gate open: epoch 2")
    gap = time.monotonic() - died
    story.check(b.ttl_s * 2 / 3 - 0.1 < gap < b.ttl_s * 1.01 + 1.5, f"takeover after {gap:.2f} s")
    start = int(b.wait_text(r"epoch 2 starts at (\d+)").group(1))
    story.check(start > said, f"said {said}, restored only {start} steps")
    story.equal(b.wait_exit(), 0, "exit code")
    lines = (b.state / "steps.txt").read_text().splitlines()
    story.equal(lines, [f"step {n}" for n in range(60)], "every step once")


run(main)
