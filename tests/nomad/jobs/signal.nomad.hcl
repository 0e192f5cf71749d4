# Says which signals reach it.
job "signal" {
  type = "service"

  group "signal" {
    task "signal" {
      driver = "agent"

      config {
        command = "/bin/sh"
        args    = ["-c", "for s in HUP USR1 USR2 QUIT WINCH; do trap \"echo got $s\" $s; done; echo ready; while :; do sleep 0.1; done"]
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
