#!/usr/bin/env python3
"""Not one block is left in the store, for several ttl: degraded, the agent runs on and its lease is renewed."""
from story import is_alive, run


def fill(path):
    """Until nothing fits; what becomes free meanwhile is taken, too."""
    with open(path, "ab", buffering=0) as filler:
        try:
            while True:
                filler.write(b"f" * 4096)
        except OSError:
            pass


def main(story):
    story.store.mkdir()
    story.mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", story.store)
    a, b = story.node("a"), story.node("b")
    a.shell("i=0; while :; do i=$((i+1)); echo $i >$AGENT_STATE_DIR/count; sleep 0.05; done")
    a.wait_event("checkpoint .* committed: sequence 1")
    agent = a.pid_of("sh")
    filler = story.store / "filler"
    fill(filler)
    a.wait_event("degraded: .*No space left on device")
    fill(filler)
    record = next(story.store.glob("agents/*/record"))
    seen = set()

    def renewed():
        fill(filler)
        seen.add(record.read_bytes())
        return len(seen) > 12

    story.wait(renewed, "renewals on a full disk")
    status = a.call("status", "-json")
    story.check(status["degraded"] and status["phase"] == "running", f"status: {status}")
    story.check(is_alive(agent) and not a.has("fenced"), "the agent runs, the lease is kept")
    saved = a.call("list", "-json")[0]["sequence"]
    filler.unlink()
    a.wait_event("recovered: ")
    story.wait(lambda: a.call("list", "-json")[0]["sequence"] > saved, "a checkpoint again")
    a.kill_all()
    b.shell("cat $AGENT_STATE_DIR/count")
    story.equal(b.wait_exit(), 0, "exit code")
    story.check(b.has("restored checkpoint"), "nothing is lost")


run(main)
