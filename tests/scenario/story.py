"""What every story uses: nodes that run `agent-sidecar run`, waits with deadlines, a timeline at failure.

A story is one file NNN-name.py: `main(story)` under `run(main)`. Real binaries (--bin=DIR), real
processes, faults as verbs. Waits are for events, never for time alone. Exit code 0 passed, 1 failed
(the timeline is printed and the directory kept), 77 skipped with a reason."""
import argparse
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PATIENCE_S = 30.0
CONFIG = """\
name = "{name}"
node = "{node}"
state {{
  path     = "{state}"
  store    = "{store}"
  key_file = "{key}"
  interval = "{interval}"
}}
lease {{
  ttl = "{ttl_ms}ms"
}}
api {{
  path = "{api}"
}}
stop {{
  timeout = "{stop_timeout}"
}}
"""


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def children(pid):
    try:
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def tree(pid):
    found = [pid]
    for child in children(pid):
        found += tree(child)
    return found


def comm(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class Node:
    """A machine: its own state directory, API socket and log; started again at will."""

    def __init__(self, story, node, **changes):
        self.story, self.node, self.process = story, node, None
        self.dir = story.dir / node
        self.dir.mkdir()
        self.state, self.api, self.log = self.dir / "state", self.dir / "api", self.dir / "log"
        values = {"name": "story/agent", "node": node, "state": self.state, "api": self.api,
                  "store": f"file://{story.store}?create=true", "key": story.dir / "agent.key",
                  "interval": "200ms", "ttl_ms": 1500, "stop_timeout": "5s"}
        values.update(changes)
        self.ttl_s = values["ttl_ms"] / 1000
        self.config = self.dir / "agent.hcl"
        self.config.write_text(CONFIG.format(**values))

    def start(self, *command, **env):
        self.seen = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.story.sidecar, "run", f"-config={self.config}", "--", *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir,
                env={"PATH": os.environ["PATH"], **self.story.env, **env}, start_new_session=True)
        self.story.processes.append(self.process)
        return self

    def shell(self, script, **env):
        return self.start("/bin/sh", "-c", script, **env)

    def text(self):
        """What this start has printed."""
        with open(self.log, "rb") as log:
            log.seek(self.seen)
            return log.read().decode(errors="replace")

    def events(self):
        found = []
        for line in self.text().splitlines():
            if line.startswith("{"):
                try:
                    record = json.loads(line)
                except ValueError:
                    continue
                if record.get("@message") == "event":
                    found.append(record["text"])
        return found

    def has(self, pattern):
        return next((e for e in self.events() if re.match(pattern, e)), None)

    def wait_event(self, pattern, within_s=PATIENCE_S):
        return self.story.wait(lambda: self.has(pattern), f"{self.node}: event {pattern!r}", within_s)

    def wait_text(self, pattern, within_s=PATIENCE_S):
        return self.story.wait(lambda: re.search(pattern, self.text()),
                               f"{self.node}: output {pattern!r}", within_s)

    def wait_exit(self, within_s=PATIENCE_S):
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.node}: still runs after {within_s} s") from None

    def pids(self):
        return tree(self.process.pid)

    def pid_of(self, name):
        return self.story.wait(lambda: next((p for p in self.pids() if comm(p).startswith(name)), None),
                               f"{self.node}: process {name}")

    def send(self, number):
        self.process.send_signal(number)

    def kill_all(self):
        """The machine dies: everything at one instant. Stopped first, so that nobody reacts."""
        pids = self.pids()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
        self.process.wait()

    def call(self, *args, **more):
        return self.story.command(*args, f"-config={self.config}", **more)


class Story:
    def __init__(self, bin_dir):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="story-"))
        self.store = self.dir / "store"
        self.sidecar = bin_dir.resolve() / "agent-sidecar"
        self.processes, self.undo, self.nodes, self.began = [], [], [], time.time()
        self.env = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}

    def node(self, name, **changes):
        node = Node(self, name, **changes)
        self.nodes.append(node)
        return node

    def wait(self, is_so, what, within_s=PATIENCE_S):
        until = time.monotonic() + within_s
        while True:
            found = is_so()
            if found:
                return found
            if time.monotonic() > until:
                raise Failed(f"not within {within_s} s: {what}")
            time.sleep(0.01)

    def check(self, is_so, what):
        if not is_so:
            raise Failed(what)

    def equal(self, got, wanted, what):
        self.check(got == wanted, f"{what}: {got!r}, not {wanted!r}")

    def command(self, *args, code=0):
        """Runs agent-sidecar; its exit code must be `code`, and errors are told exactly if it is not 0."""
        done = subprocess.run([self.sidecar, *map(str, args)], capture_output=True, text=True,
                              timeout=60, env={"PATH": os.environ["PATH"], **self.env}, check=False)
        self.equal(done.returncode, code, f"exit code of {' '.join(map(str, args))} ({done.stderr.strip()})")
        self.check(bool(done.stderr) == (code != 0), f"stderr of {args}: {done.stderr!r}")
        return json.loads(done.stdout) if "-json" in args and code == 0 else done.stdout + done.stderr

    def mount(self, *args):
        """A mount that ends with the story; the story is skipped where that is not permitted."""
        done = subprocess.run(["mount", *map(str, args)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Skipped(f"mount is not permitted: {done.stderr.strip()}")
        self.undo.append(lambda: subprocess.run(["umount", "-l", str(args[-1])], check=False))

    def digest(self, path=None):
        """One hash over names and bytes of everything below `path` (the packs and the record)."""
        total = hashlib.sha256()
        for file in sorted(p for p in (path or self.store).rglob("*") if p.is_file()):
            total.update(str(file).encode() + b"\0" + file.read_bytes())
        return total.hexdigest()

    def packs(self):
        return sorted(p for p in self.store.rglob("0000*") if p.is_file())

    def end(self, keep):
        for process in self.processes:
            if process.poll() is None:
                for pid in tree(process.pid):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                process.wait()
        for undo in reversed(self.undo):
            undo()
        if not keep:
            shutil.rmtree(self.dir, ignore_errors=True)

    def timeline(self):
        for node in self.nodes:
            if node.log.exists():
                print(f"--- {node.node}\n{node.log.read_text(errors='replace')}")


def run(main):
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    story, code = Story(options.bin), 1
    try:
        main(story)
        print("passed")
        code = 0
    except Skipped as why:
        print(f"skipped: {why}")
        code = 77
    except Failed as why:
        print(f"FAILED: {why}")
        story.timeline()
        print(f"kept: {story.dir}")
    finally:
        story.end(options.keep or code == 1)
    sys.exit(code)
