#!/usr/bin/env python3
"""The store is full until the end: the last save fails, the next start keeps the newer tree, twice."""
import os
from story import run

FILES = 'for i in {}; do head -c 20000 /dev/urandom >"$AGENT_STATE_DIR/f$i"; done'


def fail_to_save(story, a, numbers):
    """A life whose store becomes full after its first checkpoint; everything it wrote."""
    a.shell(FILES.format("1 2 3") + '; echo ready; read go <"$FIFO"; ' + FILES.format(numbers),
            FIFO=str(story.dir / "go"))
    a.wait_text("ready")
    story.wait(lambda: (a.call("status", "-json")["checkpoint"] or {}).get("sequence"), "a checkpoint")
    with open(story.store / "filler", "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass
    (story.dir / "go").write_text("now\n")
    story.equal(a.wait_exit(), 71, "exit code")
    told = a.has("failed: save final state: ")
    story.check(told and "No space left" in told and str(story.store) in told, f"told: {told}")
    kept = {p.name: p.read_bytes() for p in a.state.iterdir()}
    (story.store / "filler").unlink()
    return kept


def content(path):
    return {p.name: p.read_bytes() for p in path.iterdir()}


def main(story):
    story.store.mkdir()
    story.mount("-t", "tmpfs", "-o", "size=400k", "tmpfs", story.store)
    os.mkfifo(story.dir / "go")
    a = story.node("a", stop_timeout="1500ms")
    first = fail_to_save(story, a, "4 5 6 7 8 9 10 11 12")
    story.equal(len(first), 12, "files that were written")

    a.shell('ls "$AGENT_STATE_DIR"; echo ready; exec sleep 1000')
    a.wait_text("ready")
    told = a.wait_event("unsaved state was kept: ")
    kept = next(a.dir.glob("state.unsaved-*-after-*"))
    story.check(told.startswith(f"unsaved state was kept: {kept}: "), told)
    story.equal(content(kept), first, "the kept tree")
    story.equal(a.call("status", "-json")["unsaved"], str(kept), "unsaved in the status")
    story.check(f"unsaved     {kept}" in a.call("status"), "unsaved in the status for people")
    story.equal({n: first[n] for n in content(a.state)}, content(a.state), "the head is in place")
    story.check("f12" not in content(a.state), "the head is what was committed")
    a.send(15)
    a.wait_exit()

    second = fail_to_save(story, a, "20 21")
    a.shell("echo again")
    story.equal(a.wait_exit(), 0, "exit code")
    trees = sorted(a.dir.glob("state.unsaved-*"))
    story.equal(len(trees), 2, "kept trees")
    story.equal([content(t) for t in trees], [first, second], "content of both")
    a.shell("echo and once more")
    story.equal(a.wait_exit(), 0, "exit code")
    story.check(a.has("unsaved state is still kept: .* and others"), "told again at every start")
    story.equal(sorted(a.dir.glob("state.unsaved-*")), trees, "saved ends keep nothing more")


run(main)
