#!/usr/bin/env python3
"""An ordinary user, no cgroup, no api block: the API is where status looks for it; cuts are fuzzy and say so."""
import os
import shutil
import subprocess
from story import Skipped, run

CONFIG = """\
name = "story/plain"
state {{
  path     = "state"
  store    = "file://{dir}/store?create=true"
  key_file = "agent.key"
  interval = "200ms"
}}
lease {{
  ttl = "2s"
}}
"""


def main(story):
    if os.geteuid() != 0:
        raise Skipped("needs root to become an ordinary user")
    home = story.dir / "home"
    home.mkdir()
    story.dir.chmod(0o755)
    (home / "agent.hcl").write_text(CONFIG.format(dir=home))
    for program in ("agent-sidecar", "agent-shim"):
        shutil.copy(story.sidecar.parent / program, home)
    shutil.chown(home, 65534)
    plain = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": home,
             "env": {"PATH": os.environ["PATH"], **story.env}}
    with open(home / "log", "wb") as log:
        process = subprocess.Popen(["./agent-sidecar", "run", "-config=agent.hcl", "--", "/bin/sh", "-c",
                                    "echo word >$AGENT_STATE_DIR/x; exec sleep 1000"],
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True, **plain)
    story.processes.append(process)

    def call(*args):
        return subprocess.run(["./agent-sidecar", *args, "-config=agent.hcl"], capture_output=True,
                              text=True, check=False, **plain)

    story.wait(lambda: call("status").returncode == 0, "the API answers at its default place")
    story.wait(lambda: '"phase":"running"' in call("status", "-json").stdout, "running")
    done = call("checkpoint")
    story.equal(done.returncode, 0, f"exit code of checkpoint ({done.stderr})")
    story.check("  fuzzy  " in call("list").stdout, "the cut says what it is")
    process.terminate()
    story.equal(process.wait(10), 143, "exit code of an agent that died of the signal")
    story.check("lease released" in (home / "log").read_text(), "released")


run(main)
