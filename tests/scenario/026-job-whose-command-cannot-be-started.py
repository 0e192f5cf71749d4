#!/usr/bin/env python3
"""The same through the plugin: agent-dev says what is wrong with the command, ends, and leaves no process."""
import subprocess
from story import run

JOB = """\
job "x" {{
  datacenters = ["dc1"]
  group "x" {{
    restart {{
      attempts = 0
    }}
    task "x" {{
      driver = "agent"
      config {{
        command = "{command}"
      }}
    }}
  }}
}}
"""


def start(story, command):
    job = story.dir / "job.hcl"
    job.write_text(JOB.format(command=command))
    return subprocess.run([story.sidecar.parent / "agent-dev", "run", "--timeout=20s", job], text=True, timeout=60,
                          capture_output=True, check=False)


def main(story):
    lost, plain = story.dir / "lost", story.dir / "plain"
    lost.write_text("#!/no/such/interpreter\n")
    lost.chmod(0o755)
    plain.write_text("echo ran\n")
    for command, code, told in ((story.dir / "absent", 127, "does not exist"), (plain, 126, "is not executable"),
                                (lost, 127, "its interpreter is not there")):
        done = start(story, command)
        said = done.stdout + done.stderr
        story.equal(done.returncode, code, f"exit code of agent-dev with {command}: {said}")
        story.check(f'"{command}"' in said and told in said, f"{command}: {said}")
    plain.write_text("#!/bin/sh\necho ran\n")
    plain.chmod(0o755)
    done = start(story, plain)
    story.check(done.returncode == 0 and "ran" in done.stdout + done.stderr, f"a good one: {done}")
    left = subprocess.run(["pgrep", "-f", str(story.dir)], capture_output=True, text=True, check=False)
    story.equal(left.stdout, "", "processes that were left")


run(main)
