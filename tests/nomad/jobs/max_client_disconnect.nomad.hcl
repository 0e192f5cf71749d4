# Stays although its node is cut off, and is taken back (before Nomad 1.8).
job "max_client_disconnect" {
  type = "service"

  group "max_client_disconnect" {
    max_client_disconnect = "1h"

    task "max_client_disconnect" {
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
