# An agent that loses its node and goes on elsewhere: it indexes a folder of text, one document a
# step, and says each step to the world once (agent.py). Node metadata: jobs_dir is where this
# folder's parent lies on the node, corpus the text (folders or files below /usr, separated by
# colons), effects_log the file that stands for the world; it must exist. The node's
# allow_host_paths must have both.
job "indexer" {
  datacenters = ["dc1"]
  type        = "batch"

  group "indexer" {
    count = 1

    restart {
      attempts = 2
      interval = "10m"
      delay    = "1s"
      mode     = "fail"
    }

    task "indexer" {
      driver       = "agent"
      kill_timeout = "10s"
      kill_signal  = "SIGTERM"

      config {
        command = "/usr/bin/python3"
        args    = ["${meta.jobs_dir}/indexer/agent.py"]

        read_paths  = ["${meta.jobs_dir}"]
        write_paths = ["${meta.effects_log}"]

        state {
          path     = "local/state"
          interval = "1s"
          exclude  = ["*.tmp"]
        }

        lease {
          ttl = "2s"
        }
      }

      env {
        CORPUS      = "${meta.corpus}"
        EFFECTS_LOG = "${meta.effects_log}"
        PACE_MS     = "80"
      }

      resources {
        cpu    = 200
        memory = 256
      }
    }
  }
}
