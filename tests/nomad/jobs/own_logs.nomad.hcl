# Speaks 5 MB and then waits; the shim keeps two files of 1 MB.
job "own_logs" {
  type = "service"

  group "own_logs" {
    task "own_logs" {
      driver = "agent"

      config {
        command = "/bin/sh"
        args    = ["-c", "seq -f 'line %09.0f of the text that fills the files' 100000; echo done >&2; exec sleep 1000"]

        logs {
          max_files     = 2
          max_file_size = 1
        }
      }

      resources {
        cpu    = 100
        memory = 32
      }
    }
  }
}
