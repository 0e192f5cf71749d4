#!/usr/bin/env python3
"""A LangGraph agent with its own SQLite checkpointer, unchanged, and a scripted model.

It knows nothing of this product but one line: before a tool acts on the world, the barrier. The
graph goes model -> tool -> model for STEPS turns; the tool appends {epoch, key} to EFFECTS_LOG.
After a loss it goes on from LangGraph's own checkpoint: invoke(None) on the same thread."""
import http.client
import json
import operator
import os
import socket
import sqlite3
import sys
import time
from typing import Annotated, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph

STEPS = int(os.environ.get("STEPS", "30"))
SCRIPT = ["search", "read", "compare", "note", "write"]


class Conversation(TypedDict):
    messages: Annotated[list, operator.add]
    turn: int


def barrier():
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(os.environ["AGENT_API"])
    connection.request("POST", "/v1/barrier", body=b"")
    reply = connection.getresponse()
    if reply.status != 200:
        raise RuntimeError(f"barrier: {reply.status} {reply.read()!r}")
    reply.read()
    connection.close()


def model(state):
    """The scripted model: always asks for the next tool of the script."""
    turn = state["turn"]
    return {"messages": [{"role": "model", "tool": SCRIPT[turn % len(SCRIPT)], "turn": turn}]}


def tool(state):
    call = state["messages"][-1]
    key = f"{call['turn']:04d}-{call['tool']}"
    barrier()
    line = json.dumps({"epoch": int(os.environ["AGENT_EPOCH"]), "key": key}) + "\n"
    file = os.open(os.environ["EFFECTS_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(file, line.encode())
    os.close(file)
    time.sleep(int(os.environ.get("PACE_MS", "100")) / 1000)
    return {"messages": [{"role": "tool", "key": key}], "turn": call["turn"] + 1}


def main():
    path = os.path.join(os.environ["AGENT_STATE_DIR"], "langgraph.db")
    saver = SqliteSaver(sqlite3.connect(path, check_same_thread=False))
    graph = StateGraph(Conversation)
    graph.add_node("model", model)
    graph.add_node("tool", tool)
    graph.add_edge(START, "model")
    graph.add_edge("model", "tool")
    graph.add_conditional_edges("tool", lambda s: END if s["turn"] >= STEPS else "model")
    agent = graph.compile(checkpointer=saver)
    config = {"configurable": {"thread_id": "job"}, "recursion_limit": 10 * STEPS}
    past = agent.get_state(config)
    begin = None if past.values else {"messages": [], "turn": 0}
    print(f"epoch {os.environ['AGENT_EPOCH']}: turn {past.values.get('turn', 0)}", flush=True)
    # "async", the default, writes a step while the next one runs: a barrier in the next tool could
    # then miss it, and two steps would run again after a loss.
    final = agent.invoke(begin, config, durability="sync")
    answer = [m["key"] for m in final["messages"] if m["role"] == "tool"]
    result = os.path.join(os.environ["AGENT_STATE_DIR"], "answer.json")
    with open(result, "w", encoding="ascii") as file:
        json.dump(answer, file)
    print(f"done: {len(answer)} turns", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
