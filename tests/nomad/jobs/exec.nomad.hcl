# A task to run commands in.
job "exec" {
  type = "service"

  group "exec" {
    task "exec" {
      driver = "agent"

      config {
        command = "/bin/sh"
        args    = ["-c", "echo $$ >local/pid; exec sleep 1000"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
