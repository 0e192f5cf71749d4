/* agent-sidecar: owner of lease, checkpoints and local API of one agent; the operators' tool. */
#include "common/base/own.h"
#include "common/json/out.h"
#include "sidecar/cmd/attach.h"
#include "sidecar/cmd/list.h"
#include "sidecar/cmd/restore.h"
#include "sidecar/cmd/run.h"
#include "sidecar/cmd/selftest.h"
#include "sidecar/cmd/show.h"
#include "sidecar/cmd/source.h"
#include "sidecar/cmd/talk.h"
#include "sidecar/cmd/verify.h"

#include <stdio.h>

#define PROGRAM "agent-sidecar"
#define READING (SOURCE_OPTIONS | ARG_BIT(json))

static const struct command commands[] = {
    { .name = "run",
      .rest = "-- COMMAND [ARGUMENTS]",
      .summary = "Run an agent with its sidecar and shim, without Nomad",
      .options = ARG_BIT(config) | ARG_BIT(shim) | ARG_BIT(log_level),
      .run = cmd_run },
    { .name = "status",
      .summary = "Show what a running sidecar knows of its agent",
      .options = ARG_BIT(api) | ARG_BIT(config) | ARG_BIT(timeout) | ARG_BIT(json),
      .run = cmd_status },
    { .name = "checkpoint",
      .summary = "Ask a running sidecar for a checkpoint and wait until it is committed",
      .options = ARG_BIT(api) | ARG_BIT(config) | ARG_BIT(timeout) | ARG_BIT(json),
      .run = cmd_checkpoint },
    { .name = "list",
      .summary = "List the checkpoints of an agent, newest first",
      .options = READING,
      .run = cmd_list },
    { .name = "show",
      .summary = "Show an agent's record and one checkpoint",
      .options = READING | ARG_BIT(at) | ARG_BIT(files),
      .run = cmd_show },
    { .name = "verify",
      .summary = "Read a checkpoint completely and prove that it can be restored",
      .options = READING | ARG_BIT(at),
      .run = cmd_verify },
    { .name = "restore",
      .summary = "Restore a checkpoint into an empty directory",
      .options = READING | ARG_BIT(at) | ARG_BIT(to),
      .run = cmd_restore },
    { .name = "selftest",
      .summary = "Play the lease through simulated faults and check its guarantees",
      .options = ARG_BIT(seed) | ARG_BIT(seeds) | ARG_BIT(trace) | ARG_BIT(defect) | ARG_BIT(json),
      .run = cmd_selftest },
    { .name = "attach",
      .summary = "Be the sidecar of a shim (started by the shim)",
      .options = ARG_BIT(log_level),
      .is_hidden = true,
      .run = cmd_attach },
};

static void put_usage(struct buf *out)
{
    buf_put_str(out, "Usage: " PROGRAM " COMMAND [options]\n\n");
    for (size_t i = 0; i < COUNT(commands); i++)
        if (!commands[i].is_hidden)
            buf_put_fmt(out, "  %-11s %s\n", commands[i].name, commands[i].summary);
    buf_put_str(out, "\n" PROGRAM " COMMAND -help shows the options of a command.\n");
}

static int print(struct buf *out, FILE *to, int code)
{
    (void)fprintf(to, "%s", buf_borrow_str(out));
    buf_fini(out);
    return fflush(to) == 0 ? code : err_exit_code(ERR_SYSTEM);
}

static int report(const struct command *command, const struct args *args, const struct err *err)
{
    if (command->is_hidden)
        return err_exit_code(err->kind);
    if (args->json == NULL) {
        (void)fprintf(stderr, PROGRAM ": %s: %s\n", command->name, err->msg);
        return err_exit_code(err->kind);
    }
    struct buf text = { 0 };
    struct json_out json = json_out_to(&text);
    json_out_object(&json, NULL);
    json_out_object(&json, "error");
    json_out_text(&json, "kind", err_kind_name(err->kind));
    json_out_text(&json, "message", err->msg);
    json_out_int(&json, "exit_code", err_exit_code(err->kind));
    json_out_close(&json);
    json_out_close(&json);
    json_out_finish(&json);
    buf_put_u8(&text, '\n');
    return print(&text, stderr, err_exit_code(err->kind));
}

static int run(const struct command *command, char *const *argv)
{
    struct args args;
    struct err err = { 0 };
    if (!args_read(command, argv, &args, &err))
        return report(command, &args, &err);
    if (args.is_help) {
        struct buf out = { 0 };
        args_put_help(&out, PROGRAM, command);
        return print(&out, stdout, 0);
    }
    return command->run(&args, &err) ? 0 : report(command, &args, &err);
}

int main(int argc, char **argv)
{
    struct buf out = { 0 };
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < COUNT(commands); i++)
        if (strcmp(name, commands[i].name) == 0)
            return run(&commands[i], argv + 2);
    if (strcmp(name, "-version") == 0 || strcmp(name, "--version") == 0) {
        buf_put_str(&out, PROGRAM " " AGENT_VERSION "\n");
        return print(&out, stdout, 0);
    }
    if (strcmp(name, "-h") == 0 || strcmp(name, "-help") == 0 || strcmp(name, "--help") == 0) {
        put_usage(&out);
        return print(&out, stdout, 0);
    }
    if (name[0] != '\0')
        buf_put_fmt(&out, PROGRAM ": unknown command \"%.60s\"\n\n", name);
    put_usage(&out);
    return print(&out, stderr, err_exit_code(ERR_INVALID));
}
