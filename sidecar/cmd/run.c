#include "sidecar/cmd/run.h"

#include "common/base/own.h"
#include "common/log/log.h"
#include "common/shimwire/spec.h"
#include "sidecar/cmd/launch.h"
#include "sidecar/cmd/source.h"

#include <unistd.h>

extern char **environ;

/* From here on this process is the shim. */
static bool become_shim(const char *shim, struct fd spec, struct err *err)
{
    char *const argv[] = { (char *)(uintptr_t)shim, NULL };
    if (dup2(spec.raw, SHIM_SPEC_FD) < 0) {
        fd_closep(&spec);
        return err_sys(err, errno, "pass the spec to the shim");
    }
    (void)execve(shim, argv, environ);
    return err_sys(err, errno, "start \"%s\"", shim);
}

static bool launch(const struct sidecar_config *config, const struct args *args, struct err *err)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    CLEANUP(fd_closep) struct fd config_fd = FD_NONE;
    CLEANUP(str_freep) char *shim = NULL;
    struct fd spec = FD_NONE;
    const char *level = args->log_level != NULL ? args->log_level : "info";
    return launch_find_shim(args->shim, &shim, err) && config_put_hcl(&text, config, err) &&
           fd_sealed("agent-config", text.data, text.len, &config_fd, err) &&
           launch_spec(config, args->rest, config_fd.raw, level, &spec, err) &&
           become_shim(shim, spec, err);
}

bool cmd_run(const struct args *args, struct err *err)
{
    CLEANUP(config_freep) struct sidecar_config *config = NULL;
    enum log_level level = LOG_INFO;
    if (args->log_level != NULL && !log_level_parse(args->log_level, &level, err))
        return false;
    log_init("sidecar", level);
    if (args->config == NULL)
        return err_set(err, ERR_INVALID, "run what? give -config=FILE");
    if (args->rest_count == 0)
        return err_set(err, ERR_INVALID, "run what? give a command behind \"--\"");
    return source_config(args->config, &config, err) && launch_settle(config, err) &&
           launch(config, args, err);
}
