#!/usr/bin/env python3
"""Command by fault to exit code (F-52): never 0 with an error, never an error without a message."""
import pathlib
import re
from story import run

ROOT = pathlib.Path(__file__).resolve().parents[2]


def documented():
    """Each command that a document tells people to type, and where."""
    found = {}
    for path in [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("proto/*.md"),
                 *ROOT.glob("*/*/DESIGN.md")]:
        for name in re.findall(r"(?:^[ \t]*|`)agent-sidecar +([a-z]+)", path.read_text(), re.MULTILINE):
            found.setdefault(name, path)
    return found


def main(story):
    commands = documented()
    story.check({"run", "show", "restore"} <= commands.keys(), f"commands in documents: {commands}")
    for name, path in commands.items():
        text = story.command(name, "-no-such-option", code=64)
        story.check("no-such-option" in text, f"{path}: agent-sidecar {name}: {text!r}")
    a = story.node("a")
    a.shell("echo one >$AGENT_STATE_DIR/x")
    story.equal(a.wait_exit(), 0, "exit code")
    keys = (f"-store=file://{story.store}", "--name", "story/agent", f"--key-file={story.dir}/agent.key")
    listed = story.command("list", *keys, "-json")
    story.equal([c["sequence"] for c in listed], [1], "listed by options")
    story.command("show", *keys, "-at", listed[0]["id"], "-files")
    story.command("verify", *keys)
    full = story.dir / "full"
    full.mkdir()
    (full / "mine").write_text("x")
    rows = [
        (64, "list"), (64, "list", "-stor=x"), (64, "list", *keys, "word"), (64, "nonsense"),
        (64, "restore", *keys), (64, "run", f"-config={a.config}"), (64, "status"),
        (64, "verify", *keys, "-at=../../etc"), (64, "verify", *keys, "-timeout=soon"),
        (66, "list", f"-config={story.dir}/none.hcl"), (66, "status", f"-api={a.api}"),
        (66, "show", *keys[:-1], f"-key-file={story.dir}/none.key"),
        (66, "show", *keys, "-at=00000009-0000000000000000"),
        (66, "list", keys[0], "-name=story/other", keys[3]),
        (66, "run", f"-config={a.config}", "--", "/no/such/program"),
        (66, "run", f"-config={a.config}", "--", "no-such-program"),
        (77, "run", f"-config={a.config}", "--", "/etc/passwd"),
        (73, "restore", *keys, f"-to={full}"),
        (75, "list", f"-store=file://{full}", *keys[1:]), (75, "list", "-store=file:///no/where", *keys[1:]),
    ]
    for code, *command in rows:
        text = story.command(*command, code=code)
        story.check("agent-sidecar" in text, f"{command}: {text!r}")
    story.equal([p.name for p in full.iterdir()], ["mine"], "nothing written")
    told = story.command("list", f"-store=file://{full}", *keys[1:], "-json", code=75)
    story.check('"kind":"UNAVAILABLE"' in told and '"exit_code":75' in told, told)


run(main)
