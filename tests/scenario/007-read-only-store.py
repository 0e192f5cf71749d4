#!/usr/bin/env python3
"""A store that cannot be written at the start: no agent, a clear end; reading commands work."""
from story import run


def main(story):
    a, b = story.node("a"), story.node("b")
    a.shell("echo one >$AGENT_STATE_DIR/x")
    story.equal(a.wait_exit(), 0, "exit code")
    story.mount("--bind", story.store, story.store)
    story.mount("-o", "remount,ro,bind", story.store)
    story.undo.pop()
    b.shell("echo ran")
    code = b.wait_exit()
    story.check(code in (71, 77), f"exit code {code}")
    story.check(b.has("failed: ") and "ran\n" not in b.text(), "no start")
    story.equal(len(b.call("list", "-json")), 1, "checkpoints listed")
    b.call("restore", f"-to={story.dir}/out")
    story.equal((story.dir / "out/x").read_text(), "one\n", "restored content")


run(main)
