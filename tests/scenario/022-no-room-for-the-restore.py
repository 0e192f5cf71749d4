#!/usr/bin/env python3
"""The disk of the state directory is full at a start: refused, nothing is left or lost; with room it goes on."""
from story import run


def main(story):
    a, b = story.node("a"), story.node("b")
    a.shell("head -c 600000 /dev/urandom >$AGENT_STATE_DIR/big; echo old >$AGENT_STATE_DIR/x")
    story.equal(a.wait_exit(), 0, "exit code")
    disk = story.dir / "b" / "disk"
    disk.mkdir()
    story.mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", disk)
    b.config.write_text(b.config.read_text().replace(str(b.state), str(disk / "state")))
    (disk / "filler").write_bytes(bytes(700000))
    before = story.digest(story.store / "agents" if (story.store / "agents").exists() else None)
    b.shell("echo ran")
    story.equal(b.wait_exit(), 71, "exit code SYSTEM")
    told = b.has("failed: restore to ") or ""
    story.check("No space left" in told and str(disk / "state") in told, f"told: {told}")
    story.check("ran\n" not in b.text(), "no start")
    story.check(b.has("lease released"), "another node may go on at once")
    story.equal(sorted(p.name for p in disk.iterdir()), [".state.lock", "filler"], "nothing is left behind")
    packs = story.packs()
    (disk / "filler").unlink()
    b.shell("cat $AGENT_STATE_DIR/x")
    story.equal(b.wait_exit(), 0, "exit code with room")
    story.check("old\n" in b.text(), "the state is there")
    story.equal(story.packs()[:len(packs)], packs, "packs")
    story.check(before, "there was a store")


run(main)
