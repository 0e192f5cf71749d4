# Two directories of the host: one to write, one only to read.
job "volume_mount" {
  type = "batch"

  group "volume_mount" {
    volume "shared" {
      type   = "host"
      source = "shared"
    }

    volume "frozen" {
      type      = "host"
      source    = "frozen"
      read_only = true
    }

    task "volume_mount" {
      driver = "agent"

      volume_mount {
        volume      = "shared"
        destination = "local/shared"
      }

      volume_mount {
        volume      = "frozen"
        destination = "${NOMAD_TASK_DIR}/frozen"
      }

      volume_mount {
        volume      = "shared"
        destination = "local/view"
        read_only   = true
      }

      config {
        command = "/bin/sh"
        args    = ["-c", "cd local; cat frozen/words; cat shared/from-host; echo from the task >shared/from-task; for d in frozen view; do touch $d/x 2>&1 && echo $d written; done; cat view/from-task"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
