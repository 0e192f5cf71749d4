# Commands that the job names and an operator runs (Nomad 1.7).
job "action" {
  type = "service"

  group "action" {
    task "action" {
      driver = "agent"

      action "greet" {
        command = "/bin/sh"
        args    = ["-c", "echo hello from $NOMAD_TASK_NAME, $(cat local/said)"]
      }

      action "refuse" {
        command = "/bin/sh"
        args    = ["-c", "echo no >&2; exit 3"]
      }

      config {
        command = "/bin/sh"
        args    = ["-c", "echo busy >local/said; exec sleep 1000"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
