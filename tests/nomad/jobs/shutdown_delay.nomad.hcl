# Its service goes at once, the task is told three seconds later.
job "shutdown_delay" {
  type = "service"

  group "shutdown_delay" {
    network {
      port "http" {}
    }

    task "shutdown_delay" {
      driver         = "agent"
      shutdown_delay = "3s"

      service {
        name     = "slow-to-go"
        provider = "nomad"
        port     = "http"
      }

      config {
        command = "/bin/sh"
        args    = ["-c", "trap 'echo told at $(date +%s.%N); exit 0' TERM; echo ready; while :; do sleep 0.1; done"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
