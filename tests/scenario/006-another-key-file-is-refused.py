#!/usr/bin/env python3
"""A node with a key file of its own: refused, nothing overwritten; the message names the file."""
from story import run


def main(story):
    a, b = story.node("a"), story.node("b", key=story.dir / "other.key")
    c = story.node("c", key=story.dir / "other.key")
    c.config.write_text(c.config.read_text().replace('"story/agent"', '"story/other"'))
    for node in a, c:
        node.shell("echo one >$AGENT_STATE_DIR/x")
        story.equal(node.wait_exit(), 0, "exit code")
    before = story.digest()
    b.shell("echo ran")
    story.equal(b.wait_exit(), 65, "exit code CORRUPT")
    story.check("ran\n" not in b.text() and "other.key" in b.has("failed: "), "message names the key file")
    story.equal(story.digest(), before, "the store")
    b.call("list", code=65)
    (story.dir / "other.key").chmod(0o644)
    b.call("list", code=77)
    (story.dir / "other.key").unlink()
    b.call("list", code=66)
    story.check(not (story.dir / "other.key").exists(), "reading makes no key file")


run(main)
