/* agent-dev - runs a Nomad job on this machine without Nomad, through real plugin processes. */
#include "common/base/file.h"
#include "common/base/own.h"
#include "driver/dev/alloc.h"
#include "driver/dev/guard.h"
#include "driver/dev/job.h"
#include "driver/dev/options.h"
#include "driver/dev/run.h"

#include <stdio.h>
#include <string.h>

static int fail(const struct err *err)
{
    (void)fprintf(stderr, "agent-dev: %s\n", err->msg);
    return err_exit_code(err->kind);
}

static bool job_open(const struct dev_options *options, struct job **out, struct err *err)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    CLEANUP(job_freep) struct job *job = NULL;
    if (!file_read_named(options->job, HCL_BYTES_MAX + 1, &text, err) ||
        !job_read(options->job, buf_view(&text), &job, err) ||
        !alloc_check(job, options->meta, options->env, err))
        return false;
    *out = STEAL(job);
    return true;
}

static int validate(const struct job *job, const struct dev_options *options)
{
    if (job->not_applied.len)
        (void)printf("not applied here: %.*s\n", (int)job->not_applied.len,
                     (const char *)job->not_applied.data);
    (void)printf("%s: valid: task \"%s\" of group \"%s\" in job \"%s\"\n", options->job, job->task,
                 job->group, job->name);
    return 0;
}

static int job_command(const struct dev_options *options)
{
    CLEANUP(job_freep) struct job *job = NULL;
    struct err err = { 0 };
    int code = 0;
    if (!job_open(options, &job, &err))
        return fail(&err);
    if (options->command == DEV_VALIDATE)
        return validate(job, options);
    return run_job(options, job, &code, &err) ? code : fail(&err);
}

static int usage(void)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    options_put_usage(&text);
    (void)fputs(buf_borrow_str(&text), stdout);
    return 0;
}

int main(int argc, char **argv)
{
    struct dev_options options;
    struct err err = { 0 };
    if (argc == 6 && strcmp(argv[1], "guard") == 0) /* started by guard_start only */
        return guard_main((const char *const *)argv + 2);
    if (!options_parse((const char *const *)argv + (argc > 0), &options, &err))
        return fail(&err);
    switch (options.command) {
    case DEV_RUN:
    case DEV_VALIDATE:
        return job_command(&options);
    case DEV_HELP:
        return usage();
    case DEV_VERSION:
        (void)printf("agent-dev %s\n", AGENT_VERSION);
        return 0;
    }
    return 0;
}
