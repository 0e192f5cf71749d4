#!/usr/bin/env python3
"""The same configuration twice on one machine: same directory, same socket. The second waits its turn."""
import signal
import subprocess
from story import Node, run


def main(story):
    a = story.node("a")
    twin = Node.__new__(Node)
    twin.__dict__.update(a.__dict__)
    twin.log = a.dir / "log2"
    story.nodes.append(twin)
    a.shell("echo $AGENT_EPOCH >>$AGENT_STATE_DIR/epochs; exec sleep 1000")
    a.wait_event("gate open")
    twin.shell("echo $AGENT_EPOCH >>$AGENT_STATE_DIR/epochs; exec sleep 1000")
    twin.wait_event("standby: ")
    story.equal(a.call("status", "-json")["role"], "active", "the API is the first one's")
    a.wait_event("checkpoint ")
    a.send(signal.SIGTERM)
    a.wait_exit()
    twin.wait_event("gate open: epoch 2")
    story.wait(lambda: (a.state / "epochs").read_text() == "1\n2\n", "both epochs in the state")
    story.equal(twin.call("status", "-json")["epoch"], 2, "the API is the second one's now")
    twin.send(signal.SIGTERM)
    twin.wait_exit()
    leftovers = subprocess.run(["find", "/sys/fs/cgroup", "-type", "d", "-name",
                                f"agent-*-{twin.process.pid}"], capture_output=True, text=True, check=False)
    story.equal(leftovers.stdout, "", "cgroups left behind")


run(main)
