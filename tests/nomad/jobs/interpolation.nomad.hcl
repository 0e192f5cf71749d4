# What the node says of itself, in the config, in the environment and in constraints, among it what the driver found out.
job "interpolation" {
  type = "batch"

  constraint {
    attribute = "${attr.driver.agent.mounts}"
    value     = "true"
  }

  constraint {
    attribute = "${attr.driver.agent.version}"
    operator  = "semver"
    value     = ">= 0.0.1"
  }

  group "interpolation" {
    meta {
      tone = "low"
    }

    task "interpolation" {
      driver = "agent"

      env {
        ON_NODE = "${node.unique.name} in ${node.datacenter}"
        RACK    = "${meta.rack}"
      }

      config {
        command  = "/bin/sh"
        args     = ["-c", "echo \"$0|$1|$2|$ON_NODE|$RACK|$NOMAD_META_TONE\"", "${attr.kernel.name}", "${NOMAD_JOB_NAME}", "${meta.rack}-${NOMAD_ALLOC_INDEX}"]
        work_dir = "${NOMAD_TASK_DIR}"
      }

      resources {
        cpu    = 50
        memory = 32
      }
    }
  }
}
