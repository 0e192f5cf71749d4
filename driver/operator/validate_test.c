#include "driver/operator/validate.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/own.h"

struct desk {
    char dir[64];
    struct buf report;
    struct err err;
};

/* A directory with an executable of each name that the driver looks for. */
static void desk_open(struct desk *d)
{
    *d = (struct desk){ .dir = "/tmp/validate-XXXXXX" };
    cr_assert_not_null(mkdtemp(d->dir));
    const char *const names[] = { "agent-shim", "agent-sidecar" };
    for (size_t i = 0; i < 2; i++) {
        CLEANUP(str_freep) char *path = str_format("%s/%s", d->dir, names[i]);
        cr_assert(file_publish(AT_FDCWD, path, view_str("x"), 0755, FILE_REPLACE, &d->err));
    }
}

static void desk_close(struct desk *d)
{
    buf_fini(&d->report);
    cr_expect(dir_remove_tree(d->dir, &d->err), "%s", d->err.msg);
}

/* `format` has one %s for each program's directory. */
static bool validate(struct desk *d, const char *format)
{
    CLEANUP(str_freep) char *text = NULL;
    CLEANUP(str_freep) char *path = str_format("%s/agent.hcl", d->dir);
    text = mem_array(4096, 1);
    (void)snprintf(text, 4096, format, d->dir, d->dir); /* banned: formats are this file's own */
    cr_assert(file_publish(AT_FDCWD, path, view_str(text), 0644, FILE_REPLACE, &d->err));
    return operator_validate(path, &d->report, &d->err);
}

#define PROGRAMS "shim = \"%s/agent-shim\"\n sidecar = \"%s/agent-sidecar\"\n"

Test(validate, a_linked_file_is_the_operators)
{
    struct desk d;
    desk_open(&d);
    CLEANUP(str_freep) char *path = str_format("%s/agent.hcl", d.dir);
    CLEANUP(str_freep) char *link = str_format("%s/link.hcl", d.dir);
    cr_assert(validate(&d, "plugin \"nomad-driver-agent\" {\n config {\n" PROGRAMS "}\n}\n"), "%s",
              d.err.msg);
    cr_assert_eq(symlink(path, link), 0);
    cr_assert(operator_validate(link, &d.report, &d.err), "%s", d.err.msg);
    desk_close(&d);
}

Test(validate, a_good_block_shows_the_settings_in_force)
{
    struct desk d;
    desk_open(&d);
    cr_assert(validate(&d, "data_dir = \"/x\"\nplugin \"raw_exec\" {\n config {}\n}\n"
                           "plugin \"nomad-driver-agent\" {\n args = []\n config {\n" PROGRAMS
                           " log_level = \"warn\"\n}\n}\n"),
              "%s", d.err.msg);
    buf_put_u8(&d.report, 0);
    const char *text = (const char *)d.report.data;
    cr_expect_not_null(strstr(text, "log_level = \"warn\"\n"), "%s", text);
    cr_expect_not_null(strstr(text, "state_dir = \"/var/lib/nomad-driver-agent\"\n"), "%s", text);
    cr_expect_not_null(strstr(text, "key_file = \"/var/lib/nomad-driver-agent/agent.key\"\n"));
    desk_close(&d);
}

Test(validate, what_is_wrong_is_named_with_its_place)
{
    static const struct {
        const char *text, *message;
        enum err_kind kind;
    } rows[] = {
        { "server { enabled = true }\n", "agent.hcl: has no block plugin \"nomad-driver-agent\"",
          ERR_NOT_FOUND },
        { "plugin \"nomad-driver-agent\" {\n config {\n  stat_dir = \"/x\"\n}\n}\n",
          "agent.hcl:3:3: unknown key \"stat_dir\"; did you mean \"state_dir\"?", ERR_INVALID },
        { "plugin \"nomad-driver-agent\" {\n config {\n  state_dir = \"x\"\n}\n}\n",
          "agent.hcl:3:15: state_dir: is not an absolute path", ERR_INVALID },
        { "plugin \"nomad-driver-agent\" {\n config {\n  log_level = \"loud\"\n}\n}\n", "log_level",
          ERR_INVALID },
        { "plugin \"nomad-driver-agent\" {}\nplugin \"nomad-driver-agent\" {}\n",
          "agent.hcl:2:1: plugin \"nomad-driver-agent\": is there twice", ERR_INVALID },
        { "plugin \"nomad-driver-agent\" {\n config {\n", "agent.hcl:2:2: ", ERR_INVALID },
        { "plugin \"nomad-driver-agent\" {\n config {\n shim = \"%s/none\"\n}\n}\n",
          "find agent-shim: ", ERR_NOT_FOUND },
        { "plugin \"nomad-driver-agent\" {\n config {\n shim = \"%s/agent.hcl\"\n}\n}\n",
          "is not executable", ERR_DENIED },
    };
    struct desk d;
    desk_open(&d);
    for (size_t i = 0; i < COUNT(rows); i++) {
        cr_expect_not(validate(&d, rows[i].text), "row %zu", i);
        cr_expect_eq(d.err.kind, rows[i].kind, "row %zu: %s", i, d.err.msg);
        cr_expect_not_null(strstr(d.err.msg, rows[i].message), "row %zu: %s", i, d.err.msg);
    }
    cr_expect_eq(d.report.len, 0);
    desk_close(&d);
}

Test(validate, a_file_that_is_not_there)
{
    struct desk d = { 0 };
    cr_expect_not(operator_validate("/does/not/exist.hcl", &d.report, &d.err));
    cr_expect_eq(d.err.kind, ERR_NOT_FOUND);
    cr_expect_not_null(strstr(d.err.msg, "/does/not/exist.hcl"), "%s", d.err.msg);
}
