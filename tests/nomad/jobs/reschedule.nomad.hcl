# Fails in its first allocation; the second finds the note that the first one left on the node.
job "reschedule" {
  type = "service"

  group "reschedule" {
    restart {
      attempts = 0
      mode     = "fail"
    }

    reschedule {
      attempts       = 1
      interval       = "10m"
      delay          = "5s"
      delay_function = "constant"
      unlimited      = false
    }

    volume "shared" {
      type   = "host"
      source = "shared"
    }

    task "reschedule" {
      driver = "agent"

      volume_mount {
        volume      = "shared"
        destination = "local/shared"
      }

      config {
        command = "/bin/sh"
        args    = ["-c", "if mkdir local/shared/was-here; then exit 9; fi; echo second; exec sleep 1000"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
