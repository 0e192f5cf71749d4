# Two tasks that are stopped with a signal of their own: one obeys, one does not and is killed after its time.
job "kill_signal" {
  type = "service"

  group "kill_signal" {
    task "obeys" {
      driver       = "agent"
      kill_signal  = "SIGUSR2"
      kill_timeout = "20s"

      config {
        command = "/bin/sh"
        args    = ["-c", "trap 'echo got usr2; exit 5' USR2; trap 'echo got term' TERM; echo ready; while :; do sleep 0.1; done"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }

    task "stays" {
      driver       = "agent"
      kill_signal  = "SIGINT"
      kill_timeout = "2s"

      config {
        command = "/bin/sh"
        args    = ["-c", "trap 'echo got int at $(date +%s.%N)' INT; echo ready; while :; do sleep 0.1; date +%s.%N >local/last; done"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
