# A task before the main one and a second beside it, to tell which of them a restart reaches.
job "restart" {
  type = "service"

  group "restart" {
    task "before" {
      driver = "agent"

      lifecycle {
        hook = "prestart"
      }

      config {
        command = "/bin/sh"
        args    = ["-c", "echo ran"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }

    task "main" {
      driver = "agent"

      config {
        command = "/bin/sh"
        args    = ["-c", "trap 'echo asked; exit 0' TERM; echo run >>local/runs && echo begun $(wc -l <local/runs); while :; do sleep 0.1; done"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }

    task "beside" {
      driver = "agent"

      config {
        command = "/bin/sh"
        args    = ["-c", "echo begun; exec sleep 1000"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
