# One run for each dispatch, with its payload in a file and its words in the environment.
job "dispatch" {
  type = "batch"

  parameterized {
    payload       = "required"
    meta_required = ["who"]
    meta_optional = ["mood"]
  }

  group "dispatch" {
    task "dispatch" {
      driver = "agent"

      dispatch_payload {
        file = "in/payload"
      }

      config {
        command = "/bin/sh"
        args    = ["-c", "echo \"$0 ($NOMAD_META_MOOD) sent $(sha256sum <local/in/payload)\"", "${NOMAD_META_who}"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
