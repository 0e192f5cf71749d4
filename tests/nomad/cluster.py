"""cluster.py - a Nomad server and clients with the driver, each its own process (not -dev).

They are apart so that either can be stopped while the other goes on. Facts are read from the HTTP
API; what a user types goes through the nomad program. Waits poll a fact until a deadline."""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent

COMMON = """\
name = "{role}"
data_dir = "{work}/{role}"
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
"""

SERVER = """\
server {
  enabled           = true
  bootstrap_expect  = 1
  min_heartbeat_ttl = "2s"
  heartbeat_grace   = "1s"
}
"""

CLIENT = """\
plugin_dir = "{work}/plugins"
client {{
  enabled           = true
  servers           = ["127.0.0.1:{server_rpc}"]
  network_interface = "lo"
  meta {{
    rack = "r7"
  }}
  host_volume "shared" {{
    path = "{work}/shared"
  }}
  host_volume "frozen" {{
    path      = "{work}/frozen"
    read_only = true
  }}
  options = {{
    "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean,consul,vault,cni"
  }}
}}
plugin "nomad-driver-agent" {{
  config {{
    state_dir      = "{work}/state/{role}"
    run_dir        = "{work}/run/{role}"
    key_file       = "{work}/agent.key"
    shim           = "{work}/bin/agent-shim"
    sidecar        = "{work}/bin/agent-sidecar"
    store          = "file://{work}/store?create=true"
    log_collection = "{log_collection}"
  }}
}}
"""

ROLES = ("server", "client", "second")


class Failed(Exception):
    """A check that did not hold; the text says what was seen instead."""


def until(seconds, what, fact):
    """Polls `fact` until it is true and returns it; an error of the API counts as not yet."""
    end, seen = time.monotonic() + seconds, None
    while True:
        try:
            seen = fact()
            if seen:
                return seen
        except (OSError, LookupError, TypeError, StopIteration) as error:
            seen = error
        if time.monotonic() > end:
            raise Failed(f"not within {seconds} s: {what} ({seen!r})")
        time.sleep(0.1)


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class Cluster:
    def __init__(self, nomad, programs):
        self.nomad = nomad
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="features-", dir="/tmp"))
        for name in ("bin", "plugins", "shared", "frozen", "log", "state", "run"):
            (self.work / name).mkdir()
        self.work.chmod(0o755)
        (self.work / "shared").chmod(0o777)  # tasks run as users of their own
        for name in ("agent-shim", "agent-sidecar"):
            shutil.copy(programs / name, self.work / "bin")
        shutil.copy(programs / "nomad-driver-agent", self.work / "plugins")
        ports = free_ports(3 * len(ROLES))
        self.ports = {role: ports[3 * i:3 * i + 3] for i, role in enumerate(ROLES)}
        self.running = {}
        said = subprocess.run([nomad, "version"], capture_output=True, text=True, check=True).stdout
        self.version_text = said.split()[1].lstrip("v")
        self.version = tuple(int(n) for n in self.version_text.split("-")[0].split("."))

    # The processes.

    def start(self, role, log_collection="nomad"):
        http, rpc, serf = self.ports[role]
        text = COMMON.format(work=self.work, role=role, http=http, rpc=rpc, serf=serf)
        text += SERVER if role == "server" else CLIENT.format(
            work=self.work, role=role, server_rpc=self.ports["server"][1],
            log_collection=log_collection)
        config = self.work / f"{role}.hcl"
        config.write_text(text)
        with open(self.work / "log" / role, "ab") as log:
            self.running[role] = subprocess.Popen([self.nomad, "agent", f"-config={config}"],
                                                  stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        if role == "server":
            until(60, "a leader", lambda: self.get("/v1/status/leader"))
        else:
            until(60, f"{role} is ready", lambda: self.node(role)["Status"] == "ready")
            until(60, "the driver is healthy",
                  lambda: self.node(role)["Drivers"]["agent"]["Healthy"])

    def send(self, role, signo):
        self.running[role].send_signal(signo)

    def stop(self, role, signo=signal.SIGTERM):
        process = self.running.pop(role, None)
        if process:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signo)
            process.wait(60)

    def end(self):
        """All processes, and what a failed check has left; the working directory stays."""
        for role in list(self.running)[::-1]:
            self.stop(role)
        for pid in self.left():
            os.kill(pid, signal.SIGKILL)

    def remove(self):
        """What Nomad mounted for tasks may still be there."""
        for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
            target = line.split()[1]
            if target.startswith(f"{self.work}/"):
                subprocess.run(["umount", target], check=False)
        shutil.rmtree(self.work)

    # The API of the server, and of the client for its files.

    def get(self, path, role="server"):
        url = f"http://127.0.0.1:{self.ports[role][0]}{path}"
        try:
            with urllib.request.urlopen(url, timeout=10) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            raise OSError(f"{path}: {error.read().decode(errors='replace')}") from None

    def node(self, role="client"):
        return self.get("/v1/node/" + next(
            n["ID"] for n in self.get("/v1/nodes") if n["Name"] == role))

    def allocs(self, job):
        """All of the job's allocations, the oldest first."""
        return sorted(self.get(f"/v1/job/{urllib.parse.quote(job, safe='')}/allocations"),
                      key=lambda a: a["CreateIndex"])

    def alloc(self, job):
        return self.allocs(job)[-1]

    def task(self, job, task=None):
        return self.alloc(job)["TaskStates"][task or job]

    def events(self, job, kind, task=None):
        return [e["DisplayMessage"] for e in self.task(job, task)["Events"] if e["Type"] == kind]

    # What a user types.

    def cli(self, *words, stdin=None, ok=True, timeout=60):
        environment = dict(os.environ, NOMAD_ADDR=f"http://127.0.0.1:{self.ports['server'][0]}",
                           NOMAD_CLI_NO_COLOR="1")
        done = subprocess.run([self.nomad, *words], input=stdin or "", capture_output=True,
                              text=True, env=environment, timeout=timeout, check=False)
        if ok and done.returncode != 0:
            raise Failed(f"nomad {' '.join(words)}: {(done.stderr or done.stdout).strip()}")
        return done.stdout if ok else done

    def run(self, name, *options):
        """Submits jobs/<name>.nomad.hcl without waiting for its allocations."""
        return self.cli("job", "run", "-detach", *options, str(HERE / "jobs" / f"{name}.nomad.hcl"))

    def running_alloc(self, job, seconds=60):
        return until(seconds, f"{job} runs", lambda: next(
            a for a in self.allocs(job)[::-1] if a["ClientStatus"] == "running"
            and all(t["State"] == "running" for t in a["TaskStates"].values()) or None))["ID"]

    def ended(self, job, seconds=60):
        """The final state of the only task of the job's newest allocation."""
        return until(seconds, f"{job} ends", lambda: self.task(job)["State"] == "dead"
                     and self.alloc(job)["ClientStatus"] in ("complete", "failed")
                     and self.task(job))

    def logs(self, alloc, task, stream="stdout"):
        return self.cli("alloc", "logs", *(["-stderr"] if stream == "stderr" else []), alloc, task)

    def says(self, alloc, task, text, seconds=20):
        return until(seconds, f"{task} says \"{text}\"",
                     lambda: (said := self.logs(alloc, task)) and text in said and said)

    # The process table.

    def pids(self, alloc, task):
        """Main processes of the task: children of a shim with the allocation in the environment."""
        wanted = (f"NOMAD_ALLOC_ID={alloc}".encode(), f"NOMAD_TASK_NAME={task}".encode())
        return [pid for pid, environment in environments()
                if all(w in environment for w in wanted)
                and comm(parent(pid)) == "agent-shim" and comm(pid) != "agent-sidecar"]

    def left(self):
        """Every process of a task or of our programs, but the plugin."""
        ours = f"NOMAD_ALLOC_DIR={self.work}/".encode()
        return [pid for pid, environment in environments()
                if any(e.startswith(ours) for e in environment)
                or exe(pid).startswith(f"{self.work}/bin/")]


def read(path):
    try:
        return pathlib.Path(path).read_bytes()
    except OSError:
        return b""


def environments():
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            yield int(entry.name), read(entry / "environ").split(b"\0")


def comm(pid):
    return read(f"/proc/{pid}/comm").decode().strip()


def parent(pid):
    fields = read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def exe(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""
