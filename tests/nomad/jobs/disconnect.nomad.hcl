# Stays although its node is cut off, and is taken back (Nomad 1.8).
job "disconnect" {
  type = "service"

  group "disconnect" {
    disconnect {
      lost_after = "1h"
      replace    = false
      reconcile  = "keep_original"
    }

    task "disconnect" {
      driver = "agent"

      config {
        command = "/bin/sh"
        args    = ["-c", "i=0; while :; do echo n $i; i=$((i+1)); sleep 0.1; done"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
