#!/usr/bin/env python3
"""The store becomes read-only: the lease ends with its ttl where it lies in it, and runs on where it is elsewhere."""
import subprocess
import time
from story import is_alive, run


def remount(story, how):
    subprocess.run(["mount", "-o", f"remount,{how}", story.store], check=True)


def main(story):
    story.store.mkdir()
    story.mount("-t", "tmpfs", "-o", "size=8m", "tmpfs", story.store)
    a, b = story.node("a"), story.node("b")
    text = b.config.read_text().replace("story/agent", "story/other")
    b.config.write_text(text.replace("lease {", f'lease {{\n  store = "file://{story.dir}/leases?create=true"'))
    work = "while :; do date +%N >$AGENT_STATE_DIR/x; sleep 0.05; done"
    for node in (a, b):
        node.shell(work)
        node.wait_event("checkpoint .* committed: sequence 1")
    agent = b.pid_of("sh")
    remount(story, "ro")
    lost = time.monotonic()
    story.equal(a.wait_exit(a.ttl_s + 1.5), 79, "exit code FENCED")
    story.check(a.has("fenced: ") and time.monotonic() - lost < a.ttl_s + 0.7, "ended within the ttl")
    b.wait_event("degraded: .*Read-only file system")
    record = next((story.dir / "leases").glob("agents/*/record"))
    seen = set()
    story.wait(lambda: seen.add(record.read_bytes()) or len(seen) > 12, "renewals elsewhere")
    story.check(is_alive(agent) and not b.has("fenced"), "the agent runs, the lease is kept")
    remount(story, "rw")
    b.wait_event("recovered: ")


run(main)
