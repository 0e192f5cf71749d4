# A task whose words nobody keeps.
job "no_logs" {
  type = "batch"

  group "no_logs" {
    task "no_logs" {
      driver = "agent"

      logs {
        disabled = true
      }

      config {
        command = "/bin/sh"
        args    = ["-c", "echo unheard; echo unheard >&2; echo $(readlink /proc/$$/fd/1) >local/stdout; seq 200000; echo $? >local/done; sleep 1"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
