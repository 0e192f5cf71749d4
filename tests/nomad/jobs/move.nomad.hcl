# An agent with state on two nodes, a user of its own on each: its replacement runs when, and only when, it is gone (Nomad 1.8).
job "move" {
  type = "service"

  update {
    health_check     = "task_states"
    min_healthy_time = "1s"
  }

  group "move" {
    disconnect {
      lost_after = "1h"
      replace    = true
      reconcile  = "keep_original"
    }

    reschedule {
      delay          = "5s" # of a replacement, too
      delay_function = "constant"
      unlimited      = true
    }

    volume "shared" {
      type   = "host"
      source = "shared"
    }

    task "move" {
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
