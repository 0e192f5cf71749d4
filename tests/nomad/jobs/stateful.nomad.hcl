# The same with a count that lives in the agent's state: it goes on where the last run ended.
job "stateful" {
  datacenters = ["dc1"]
  type        = "service"

  group "stateful" {
    restart {
      attempts = 5
      interval = "10m"
      delay    = "1s"
      mode     = "fail"
    }

    task "stateful" {
      driver       = "agent"
      kill_timeout = "10s"

      config {
        command = "/bin/sh"
        args    = ["-c", "cd $AGENT_STATE_DIR; trap 'echo got usr1' USR1; trap 'exit 0' TERM; echo begun >&2; i=$(cat count 2>/dev/null || echo 0); echo epoch $AGENT_EPOCH from $i restored $AGENT_RESTORED; while :; do echo n $i; i=$((i+1)); echo $i >count.new; mv count.new count; sleep 0.1; done"]

        state {
          path     = "local/state"
          interval = "500ms"
        }

        lease {
          ttl = "3s"
        }
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
