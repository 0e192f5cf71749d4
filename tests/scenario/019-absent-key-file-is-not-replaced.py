#!/usr/bin/env python3
"""A node without the key file of an agent that has state: refused with the key's id, no new key is made."""
import re
from story import run


def main(story):
    a, b = story.node("a"), story.node("b", key=story.dir / "b" / "agent.key")
    a.shell("echo one >$AGENT_STATE_DIR/x")
    story.equal(a.wait_exit(), 0, "exit code")
    key = re.match(r"agent-key 1 (\w{16}) ", (story.dir / "agent.key").read_text())[1]
    before = story.digest()
    b.shell("echo ran")
    story.equal(b.wait_exit(), 77, "exit code DENIED")
    told = b.has("failed: ") or ""
    story.check(key in told and str(story.dir / "b" / "agent.key") in told, f"key and file: {told}")
    story.check(not (story.dir / "b" / "agent.key").exists(), "no key file is left behind")
    story.check("ran\n" not in b.text(), "no start")
    story.equal(story.digest(), before, "the store")
    (story.dir / "b" / "agent.key").write_bytes((story.dir / "agent.key").read_bytes())
    (story.dir / "b" / "agent.key").chmod(0o600)
    b.shell('cat "$AGENT_STATE_DIR/x"')
    story.equal(b.wait_exit(), 0, "exit code with the right key")
    story.check("one\n" in b.text(), "the state is there")


run(main)
