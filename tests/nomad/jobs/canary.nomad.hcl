# Two copies; an update begins with a canary and waits for a promotion.
variable "edition" { type = string }

job "canary" {
  type = "service"

  update {
    canary           = 1
    max_parallel     = 2
    health_check     = "task_states"
    min_healthy_time = "1s"
    healthy_deadline = "1m"
  }

  group "canary" {
    count = 2

    task "canary" {
      driver = "agent"

      config {
        command = "/bin/sh"
        args    = ["-c", "echo edition $0; exec sleep 1000", "${var.edition}"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
