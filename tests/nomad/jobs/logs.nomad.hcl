# Speaks 5 MB and then waits; Nomad keeps two files of 1 MB.
job "logs" {
  type = "service"

  group "logs" {
    task "logs" {
      driver = "agent"

      logs {
        max_files     = 2
        max_file_size = 1
      }

      config {
        command = "/bin/sh"
        args    = ["-c", "seq -f 'line %09.0f of the text that fills the files' 100000; echo done >&2; exec sleep 1000"]
      }

      resources {
        cpu    = 100
        memory = 32
      }
    }
  }
}
