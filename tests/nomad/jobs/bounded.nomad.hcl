# A task with every limit: it counts, and once told to it eats memory until the kernel kills it.
job "bounded" {
  datacenters = ["dc1"]
  type        = "service"

  group "bounded" {
    restart {
      attempts = 5
      interval = "10m"
      delay    = "1s"
      mode     = "fail"
    }

    task "bounded" {
      driver       = "agent"
      kill_timeout = "5s"

      config {
        command        = "/bin/sh"
        args           = ["-c", "trap 'exec tail /dev/zero' USR1; echo begun >&2; i=0; while :; do echo n $i; i=$((i+1)); sleep 0.1; done"]
        pids_limit     = 50
        cpu_hard_limit = true
      }

      resources {
        cpu    = 200
        memory = 48
      }
    }
  }
}
