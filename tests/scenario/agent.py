#!/usr/bin/env python3
"""The agent of the stories: one step after the other, each durable before it is said.

A step is a line in steps.txt, then the barrier, then "said N" on stdout. STEPS ends it by itself.
On SIGTERM it writes "goodbye" into the state after GOODBYE_S seconds and exits 0."""
import http.client
import os
import pathlib
import signal
import socket
import sys
import time


class Stopped(Exception):
    pass


def on_term(*_):
    raise Stopped


def barrier():
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(os.environ["AGENT_API"])
    connection.request("POST", "/v1/barrier", body=b"")
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply.status, body


def steps(path):
    done = len(path.read_text().splitlines()) if path.exists() else 0
    print(f"epoch {os.environ['AGENT_EPOCH']} starts at {done}", flush=True)
    while done < int(os.environ.get("STEPS", "1000000")):
        with open(path, "a", encoding="ascii") as file:
            file.write(f"step {done}\n")
        status, body = barrier()
        if status != 200:
            print(f"barrier: {status} {body.decode()}", flush=True)
        else:
            print(f"said {done}", flush=True)
        done += 1
        time.sleep(float(os.environ.get("PACE_S", "0.02")))


def main():
    signal.signal(signal.SIGTERM, on_term)
    state = pathlib.Path(os.environ["AGENT_STATE_DIR"])
    try:
        steps(state / "steps.txt")
    except Stopped:
        time.sleep(float(os.environ.get("GOODBYE_S", "0")))
        (state / "goodbye").write_text("written after the signal\n")
    return int(os.environ.get("CODE", "0"))


if __name__ == "__main__":
    sys.exit(main())
