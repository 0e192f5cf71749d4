"""What Nomad's own drivers keep in memory for a task, for tests/bench/fleet: NOMAD_BIN, a server and
client of its own in a temporary directory, three tasks of raw_exec and of exec."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

TASKS = 3
AGENT = """\
data_dir = "{work}/data"
plugin_dir = "{work}/plugins"
bind_addr = "127.0.0.1"
disable_update_check = true
ports {{
  http = {http}
  rpc  = {rpc}
  serf = {serf}
}}
advertise {{
  http = "127.0.0.1"
  rpc  = "127.0.0.1"
  serf = "127.0.0.1"
}}
server {{
  enabled          = true
  bootstrap_expect = 1
}}
client {{
  enabled           = true
  network_interface = "lo"
  chroot_env = {{
{chroot}
  }}
  options = {{
    "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean,consul,vault,cni"
  }}
}}
plugin "raw_exec" {{
  config {{
    enabled = true
  }}
}}
"""
# What /bin/sleep needs, instead of a copy of /usr for each task; no symlinks.
CHROOT = ("/bin/sleep", "/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2")
JOB = """\
job "{driver}" {{
  datacenters = ["dc1"]
  group "g" {{
    count = {count}
    task "t" {{
      driver = "{driver}"
      config {{
        command = "/bin/sleep"
        args    = ["1000"]
      }}
      resources {{
        cpu    = 20
        memory = 32
      }}
    }}
  }}
}}
"""


def ports():
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    found = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return found


def helpers(agent, word):
    """Pids of the agent's children that run a command of Nomad's own."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            parent = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]
        except OSError:
            continue
        if parent == str(agent) and len(words) > 1 and words[1] == word:
            found.append(pid)
    return found


def private_kb(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Private_Dirty: +(\d+)", text, re.M).group(1))


class Nomad:
    def __init__(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="bench-nomad-"))
        (self.work / "plugins").mkdir()
        http, rpc, serf = ports()
        self.url = f"http://127.0.0.1:{http}"
        config = self.work / "agent.hcl"
        chroot = "\n".join(f'    "{os.path.realpath(path)}" = "{path}"' for path in CHROOT)
        config.write_text(AGENT.format(work=self.work, http=http, rpc=rpc, serf=serf, chroot=chroot))
        self.bin = os.environ["NOMAD_BIN"]
        with open(self.work / "log", "wb") as log:
            self.agent = subprocess.Popen([self.bin, "agent", f"-config={config}"], stdout=log,
                                          stderr=log, stdin=subprocess.DEVNULL)

    def get(self, path):
        try:
            with urllib.request.urlopen(f"{self.url}/v1/{path}", timeout=5) as answer:
                return json.load(answer)
        except OSError:
            return None

    def run(self, *words, text=None):
        return subprocess.run([self.bin, *words], input=text, text=True, capture_output=True,
                              env={**os.environ, "NOMAD_ADDR": self.url}, timeout=30)

    def wait(self, fact, what, limit_s=40):
        until = time.monotonic() + limit_s
        while not fact():
            if time.monotonic() > until:
                raise RuntimeError(f"Nomad: no {what} within {limit_s} s")
            time.sleep(0.2)

    def is_running(self, driver):
        allocations = self.get(f"job/{driver}/allocations") or []
        return sum(a["ClientStatus"] == "running" for a in allocations) == TASKS

    def measure(self, driver):
        done = self.run("job", "run", "-detach", "-", text=JOB.format(driver=driver, count=TASKS))
        if done.returncode != 0:
            raise RuntimeError(f"Nomad: {driver}: {done.stderr}")
        self.wait(lambda: self.is_running(driver), f"{TASKS} tasks of {driver}")
        time.sleep(2)  # what a start needs for a moment is not what a task keeps
        found = {word: [private_kb(pid) for pid in helpers(self.agent.pid, word)]
                 for word in ("executor", "logmon")}
        self.stop(driver)
        self.wait(lambda: not helpers(self.agent.pid, "executor"), f"end of {driver}")
        return {"count": TASKS, **{word: sum(all_kb) / TASKS for word, all_kb in found.items()}}

    def stop(self, driver):
        self.run("job", "stop", "-detach", "-purge", driver)

    def close(self):
        if self.agent.poll() is None:
            for driver in ("raw_exec", "exec"):
                self.stop(driver)
            for _ in range(50):
                if not helpers(self.agent.pid, "executor"):
                    break
                time.sleep(0.2)
            self.agent.send_signal(signal.SIGINT)
            try:
                self.agent.wait(10)
            except subprocess.TimeoutExpired:
                self.agent.kill()
                self.agent.wait()
        for line in reversed(pathlib.Path("/proc/self/mounts").read_text().splitlines()):
            if line.split()[1].startswith(f"{self.work}/"):
                subprocess.run(["umount", line.split()[1]], check=False)
        shutil.rmtree(self.work)


def measure():
    """{driver: {"executor": KiB, "logmon": KiB, "count"}}: mean Private_Dirty of what a task needs."""
    nomad = Nomad()
    try:
        nomad.wait(lambda: [n for n in nomad.get("nodes") or [] if n["Status"] == "ready"], "node")
        return {driver: nomad.measure(driver) for driver in ("raw_exec", "exec")}
    finally:
        nomad.close()
