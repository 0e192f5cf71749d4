# Three templates: one is the environment, one signals and one restarts the task when its variable changes.
job "template" {
  type = "service"

  group "template" {
    restart {
      attempts = 3
      interval = "10m"
      delay    = "1s"
      mode     = "fail"
    }

    task "template" {
      driver = "agent"

      template {
        data        = "GREETING={{ \"good day\" | toUpper | toJSON }}\nSPOKEN_BY={{ env \"NOMAD_TASK_NAME\" }}-{{ env \"node.unique.name\" | len }}\n"
        destination = "secrets/greeting.env"
        env         = true
      }

      template {
        data          = "{{ with nomadVar \"nomad/jobs/template\" }}{{ .word }}{{ end }}\n"
        destination   = "local/word"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        perms         = "444"
      }

      template {
        data        = "{{ with nomadVar \"nomad/jobs/template/template\" }}{{ .phase }}{{ end }}\n"
        destination = "local/phase"
        change_mode = "restart"
      }

      config {
        command = "/bin/sh"
        args    = ["-c", "trap 'echo word $(cat local/word)' HUP; echo $GREETING $SPOKEN_BY phase $(cat local/phase) word $(cat local/word) mode $(stat -c %a local/word); while :; do sleep 0.1; done"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
