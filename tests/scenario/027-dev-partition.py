#!/usr/bin/env python3
"""`agent-dev run -partition-node`: the cut node's agent is fenced, the standby goes on, nothing said is lost."""
import json
import os
import pathlib
import re
import subprocess
from story import Skipped, run

AGENT = pathlib.Path(__file__).with_name("agent.py")
TTL_S = 2.0
STEPS = 150
JOB = """\
job "cut" {{
  type = "batch"
  group "cut" {{
    restart {{
      attempts = 0
      mode     = "fail"
    }}
    task "cut" {{
      driver = "agent"
      config {{
        command = "/usr/bin/python3"
        args    = ["{agent}"]

        read_paths = ["{agent}"]

        state {{
          path     = "local/state"
          interval = "1s"
        }}
        lease {{
          ttl = "{ttl}s"
        }}
      }}
      env {{
        STEPS  = "{steps}"
        PACE_S = "0.03"
      }}
      resources {{
        cpu    = 100
        memory = 128
      }}
    }}
  }}
}}
"""


def lines_of(story, options):
    """The timeline of one run to its end."""
    job = story.dir / "cut.nomad.hcl"
    job.write_text(JOB.format(agent=AGENT, ttl=TTL_S, steps=STEPS))
    done = subprocess.run([story.sidecar.with_name("agent-dev"), "run", job, "-json", "-timeout=90s",
                           f"-data-dir={story.dir}/data", *options],
                          capture_output=True, text=True, timeout=150, check=False,
                          env={"PATH": os.environ["PATH"], **story.env})
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    story.check(lines and lines[-1]["event"] == "end", f"it ended: {done.stdout[-800:]}{done.stderr[-800:]}")
    return lines, done.returncode


def main(story):
    if os.getuid() != 0:
        raise Skipped("simulated nodes need root")
    lines, code = lines_of(story, ["-nodes=2", "-partition-node=after:2s"])
    told = "\n".join(f"{l['t_ms']} {l['node']} {l['event']} {l['text']}" for l in lines)

    def first(node, event, pattern):
        found = next((l for l in lines if l["event"] == event and node in (l["node"], None)
                      and re.search(pattern, l["text"])), None)
        story.check(found, f"{node}: {event} {pattern!r} in\n{told}")
        return found

    story.equal(code, 0, f"exit code of the run\n{told}")
    cuts = [l for l in lines if l["event"] == "partition-node"]
    story.equal(len(cuts), 1, "nodes that were cut off")
    cut, other = cuts[0]["node"], {"node-1": "node-2", "node-2": "node-1"}[cuts[0]["node"]]
    first(cut, "stdout", r"^epoch 1 starts at 0$")
    fenced = first(cut, "task", r"^fenced")
    starts = first(other, "stdout", r"^epoch 2 starts at \d+$")
    story.check(fenced["t_ms"] - cuts[0]["t_ms"] < (TTL_S + 0.7) * 1000, "fenced within the ttl")
    story.check(fenced["t_ms"] <= starts["t_ms"], "the old copy had ended when the new one began")
    said = [(l["node"], int(l["text"].split()[1])) for l in lines
            if l["event"] == "stdout" and re.fullmatch(r"said \d+", l["text"])]
    of_cut = [n for node, n in said if node == cut]
    of_other = [n for node, n in said if node == other]
    began = int(starts["text"].split()[-1])
    story.equal(of_cut, list(range(len(of_cut))), "steps said before the cut")
    story.equal(of_other, list(range(began, STEPS)), "steps said after it")
    story.check(of_cut and began >= len(of_cut), f"said {len(of_cut)} steps, restored {began}")
    first(other, "exited", "")


run(main)
