#!/usr/bin/env python3
"""The store of the checkpoints hangs in every call: degraded, but the lease elsewhere is renewed, and the agent runs on."""
import ctypes
import os
import subprocess
from story import Skipped, is_alive, run

LIBC = ctypes.CDLL(None, use_errno=True)


def mount_hung(story, path):
    """A file system whose server never answers (FUSE without one): every call below waits."""
    try:
        server = os.open("/dev/fuse", os.O_RDWR)
    except OSError as why:
        raise Skipped(f"no FUSE: {why}") from None
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0".encode()
    story.undo.append(lambda: os.close(server))
    if LIBC.mount(b"hung", bytes(path), b"fuse", 0, options) != 0:
        raise Skipped(f"mount is not permitted: {os.strerror(ctypes.get_errno())}")
    story.undo.append(lambda: subprocess.run(["umount", "-l", path], check=False))


def main(story):
    a = story.node("a")
    text = a.config.read_text()
    a.config.write_text(text.replace("lease {", f'lease {{\n  store = "file://{story.dir}/leases?create=true"'))
    a.shell("while :; do date +%N >$AGENT_STATE_DIR/x; sleep 0.05; done")
    a.wait_event("checkpoint .* committed: sequence 1")
    agent = a.pid_of("sh")
    mount_hung(story, story.store)
    a.wait_event("degraded: .*no answer")
    record = next((story.dir / "leases").glob("agents/*/record"))
    seen = set()
    story.wait(lambda: seen.add(record.read_bytes()) or len(seen) > 12, "renewals while the store hangs")
    story.check(is_alive(agent) and not a.has("fenced"), "the agent runs, the lease is kept")


run(main)
