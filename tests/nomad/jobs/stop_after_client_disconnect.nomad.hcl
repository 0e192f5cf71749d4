# Is stopped by its own node when that hears nothing of the servers (before Nomad 1.8).
job "stop_after_client_disconnect" {
  type = "service"

  group "stop_after_client_disconnect" {
    stop_after_client_disconnect = "8s"

    volume "shared" {
      type   = "host"
      source = "shared"
    }

    task "stop_after_client_disconnect" {
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
