#!/usr/bin/env python3
"""Sizes, methods, foreign users, many clients, clients that leave: each has its answer, nobody is disturbed."""
import os
import socket
from story import Failed, run


def ask(path, data, close_at_once=False):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(10)
        s.connect(str(path))
        s.sendall(data)
        if close_at_once:
            return b""
        got = b""
        while True:
            part = s.recv(65536)
            if not part:
                return got
            got += part


def as_nobody(path, data):
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        os.write(writable, ask(path, data))
        os._exit(0)
    os.waitpid(pid, 0)
    return os.read(readable, 65536)


def main(story):
    a = story.node("a", interval="0s")
    a.shell("exec sleep 1000")
    a.wait_event("gate open")
    close = b"Connection: close\r\n\r\n"
    rows = [
        (200, b"GET /v1/status HTTP/1.1\r\n" + close), (200, b"POST /v1/barrier HTTP/1.1\r\n" + close),
        (200, b"POST /v1/checkpoint HTTP/1.1\r\n" + close), (404, b"GET /v2 HTTP/1.1\r\n" + close),
        (405, b"GET /v1/barrier HTTP/1.1\r\n" + close), (400, b"what?\r\n\r\n"),
        (413, b"POST /v1/barrier HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n"),
        (414, b"GET /" + b"a" * 300 + b" HTTP/1.1\r\n" + close),
        (431, b"GET / HTTP/1.1\r\nX: " + b"a" * 9000 + b"\r\n" + close),
    ]
    for status, request in rows:
        answer = ask(a.api, request)
        story.check(answer.startswith(b"HTTP/1.1 %d " % status), f"{request[:40]}: {answer[:60]}")
    if os.geteuid() == 0:
        os.chmod(story.dir, 0o755)
        answer = as_nobody(a.api, rows[0][1])
        story.check(answer.startswith(b"HTTP/1.1 403 "), f"a foreign user: {answer[:60]}")
    for _ in range(50):
        ask(a.api, b"POST /v1/barrier HTTP/1.1\r\n\r\n", close_at_once=True)
    held = []
    for _ in range(100):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.connect(str(a.api))
        held.append(s)
    answer = ask(a.api, rows[1][1])
    story.check(answer.startswith(b"HTTP/1.1 200 "), f"beside 100 idle clients: {answer[:60]}")
    for s in held:
        s.close()
    status = a.call("status", "-json")
    if status["phase"] != "running":
        raise Failed(f"phase {status['phase']}")


run(main)
