# Commands in a running task: `alloc exec` into it, and a template whose change runs a script in it.
job "commands" {
  datacenters = ["dc1"]
  type        = "service"

  group "commands" {
    task "commands" {
      driver = "agent"
      user   = "root" # else one of the client's pool, from Nomad 1.8 on

      config {
        command = "/bin/sh"
        args    = ["-c", "echo begun >&2; i=0; while :; do echo n $i; i=$((i+1)); sleep 0.1; done"]
      }

      template {
        data        = "{{ with nomadVar \"nomad/jobs/commands\" }}{{ .word }}{{ end }}"
        destination = "local/word"
        change_mode = "script"
        change_script {
          command       = "/bin/sh"
          args          = ["-c", "echo \"$(id -un) read $(cat local/word)\" >>local/heard"]
          timeout       = "5s"
          fail_on_error = true
        }
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
