# The program comes in an archive with its checksum, its words in a file of their own.
variable "url" { type = string }
variable "sha256" { type = string }

job "artifact" {
  type = "batch"

  group "artifact" {
    task "artifact" {
      driver = "agent"

      artifact {
        source      = "${var.url}/pack.tar.gz"
        destination = "local/pack"
        options {
          checksum = "sha256:${var.sha256}"
        }
      }

      artifact {
        source      = "${var.url}/words"
        destination = "local/said"
        mode        = "file"
      }

      config {
        command = "pack/hello"
        args    = ["local/said"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
