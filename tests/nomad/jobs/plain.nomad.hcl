# A supervised process without state: counts aloud, and says when it gets SIGUSR1.
job "plain" {
  datacenters = ["dc1"]
  type        = "service"

  group "plain" {
    restart {
      attempts = 5
      interval = "10m"
      delay    = "1s"
      mode     = "fail"
    }

    task "plain" {
      driver       = "agent"
      kill_timeout = "5s"

      config {
        command = "/bin/sh"
        args    = ["-c", "trap 'echo got usr1' USR1; echo begun >&2; i=0; while :; do echo n $i; i=$((i+1)); sleep 0.1; done"]
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
