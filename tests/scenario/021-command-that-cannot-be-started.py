#!/usr/bin/env python3
"""A command that is absent, not executable or without its interpreter: its exit code, and a lease that is free."""
from story import run


def main(story):
    a = story.node("a")
    lost, plain = story.dir / "lost", story.dir / "plain"
    lost.write_text("#!/no/such/interpreter\n")
    lost.chmod(0o755)
    plain.write_text("echo ran\n")
    for command, code in ((story.dir / "absent", 66), (plain, 77), ("no-such-command", 66)):
        done = a.start(str(command))
        story.equal(done.wait_exit(), code, f"exit code of {command}")
        story.check(str(command) in a.text() and not a.has("gate open"), f"{command} is named, nothing is begun")
    a.start(str(lost))
    story.equal(a.wait_exit(), 127, "exit code without the interpreter")
    story.check(a.has("lease released"), "the lease is given back")
    plain.chmod(0o755)
    a.start(str(plain))
    story.equal(a.wait_exit(), 126, "exit code of a file that is no program")
    a.shell("echo ran")
    story.equal(a.wait_exit(), 0, "exit code")
    story.check("ran\n" in a.text() and not a.has("standby"), "the next start need not wait")


run(main)
