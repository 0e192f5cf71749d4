# Asks for a driver that no node has.
job "constraint" {
  type = "batch"

  group "constraint" {
    constraint {
      attribute = "${attr.driver.agent.landlock}"
      operator  = ">="
      value     = "9999"
    }

    task "constraint" {
      driver = "agent"

      config {
        command = "/bin/true"
      }
    }
  }
}
