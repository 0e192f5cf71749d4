#!/usr/bin/env python3
"""A flipped byte in every pack: exit 65, no agent, no empty start, no byte of the packs or the head changed."""
from story import run


def main(story):
    a, b = story.node("a"), story.node("b")
    a.shell("head -c 300000 /dev/urandom >$AGENT_STATE_DIR/x")
    story.equal(a.wait_exit(), 0, "exit code")
    head = a.call("show", "-json")["checkpoint"]["id"]
    for pack in story.packs():
        data = bytearray(pack.read_bytes())
        data[len(data) // 2] ^= 0x40
        pack.chmod(0o600)
        pack.write_bytes(data)
    before = [p.read_bytes() for p in story.packs()]
    b.shell("echo ran")
    story.equal(b.wait_exit(), 65, "exit code CORRUPT")
    story.check(b.has("failed: ") and not b.has("gate open") and "ran\n" not in b.text(), "no start")
    story.equal([p.read_bytes() for p in story.packs()], before, "packs")
    story.equal(b.call("show", "-json", code=0)["checkpoint"]["id"], head, "head")
    b.call("verify", code=65)
    b.call("restore", f"-to={story.dir}/out", code=65)
    story.check(not (story.dir / "out").exists(), "a failed restore leaves nothing")


run(main)
