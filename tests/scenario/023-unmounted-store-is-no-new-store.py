#!/usr/bin/env python3
"""The store's disk is not mounted when the next process starts, with ?create=true: waits, makes nothing, goes on."""
import subprocess
from story import run


def main(story):
    story.store.mkdir()
    disk = story.dir / "disk"
    disk.mkdir()
    story.mount("--bind", disk, story.store)
    a = story.node("a")
    a.shell("echo one >$AGENT_STATE_DIR/x")
    story.equal(a.wait_exit(), 0, "exit code")
    subprocess.run(["umount", story.store], check=True)
    story.undo.pop()
    a.shell("cat $AGENT_STATE_DIR/x")
    told = a.wait_event("degraded: ")
    note = next((story.dir / "known-stores").iterdir())
    story.check(f"note {note.name} in known-stores beside the key file" in told and "rm " not in told, told)
    story.equal(list(story.store.iterdir()), [], "below the mount point")
    story.check(not a.has("gate open"), "no empty start")
    story.mount("--bind", disk, story.store)
    a.wait_event("recovered: ")
    story.equal(a.wait_exit(), 0, "exit code when it is mounted again")
    story.check("one\n" in a.text(), "the state is there")
    second = story.dir / "second"
    second.mkdir()
    story.mount("--bind", second, story.store)
    a.shell("echo ran; sleep 1000")
    told = a.wait_event("degraded: ")
    story.check(not list(second.iterdir()), f"another disk is no new store: {told}")


run(main)
