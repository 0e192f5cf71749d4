# A service of Nomad's own with two checks; the task answers on the port it was given.
job "service" {
  type = "service"

  group "service" {
    network {
      port "http" {}
    }

    service {
      name     = "answering"
      provider = "nomad"
      port     = "http"
      tags     = ["agent"]

      check {
        name     = "page"
        type     = "http"
        path     = "/said"
        interval = "2s"
        timeout  = "2s"
      }

      check {
        name     = "port"
        type     = "tcp"
        interval = "2s"
        timeout  = "2s"
      }
    }

    task "service" {
      driver = "agent"

      config {
        command = "/bin/sh"
        args    = ["-c", "cd local && echo hello >said && exec python3 -m http.server --bind 127.0.0.1 $NOMAD_PORT_http"]
      }

      resources {
        cpu    = 100
        memory = 64
      }
    }
  }
}
