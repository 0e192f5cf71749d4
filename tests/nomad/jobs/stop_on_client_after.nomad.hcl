# Is stopped by its own node when that hears nothing of the servers (Nomad 1.8).
job "stop_on_client_after" {
  type = "service"

  group "stop_on_client_after" {
    disconnect {
      stop_on_client_after = "8s"
    }

    volume "shared" {
      type   = "host"
      source = "shared"
    }

    task "stop_on_client_after" {
      driver = "agent"

      volume_mount {
        volume      = "shared"
        destination = "local/shared"
      }

      config {
        command = "/bin/sh"
        args    = ["-c", "trap 'echo told >local/shared/told-$NOMAD_TASK_NAME; exit 0' TERM; echo ready; while :; do sleep 0.1; done"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
