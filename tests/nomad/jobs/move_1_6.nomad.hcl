# An agent with state on two nodes: its replacement runs when, and only when, it is gone (before Nomad 1.8).
job "move_1_6" {
  type = "service"

  update {
    health_check     = "task_states"
    min_healthy_time = "1s"
  }

  group "move_1_6" {
    max_client_disconnect = "1h"

    reschedule {
      delay          = "5s" # of a replacement, too
      delay_function = "constant"
      unlimited      = true
    }

    volume "shared" {
      type   = "host"
      source = "shared"
    }

    task "move_1_6" {
      driver       = "agent"
      kill_timeout = "10s"

      volume_mount {
        volume      = "shared"
        destination = "local/shared"
      }

      config {
        command = "/bin/sh"
        args    = ["-c", "umask 0; cd $AGENT_STATE_DIR; i=$(cat count 2>/dev/null || echo 0); while :; do echo epoch $AGENT_EPOCH n $i >>$NOMAD_TASK_DIR/shared/effects-$NOMAD_TASK_NAME; i=$((i+1)); echo $i >count.new; mv count.new count; sleep 0.1; done"]

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
