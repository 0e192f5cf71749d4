#include "driver/dev/alloc.h"

#include "common/base/own.h"
#include "common/hcl/read.h"
#include "driver/dev/job.h"
#include "driver/nomad/task_spec.h"

#include <criterion/criterion.h>

static const char *const no_pairs[] = { NULL };
static const struct alloc_place place = { .node = 2,
                                          .node_name = "node-2",
                                          .node_id = "n2",
                                          .alloc_id = "0a1b-c",
                                          .alloc_dir = "/d/a",
                                          .meta = no_pairs,
                                          .env = no_pairs };

#define JOB(more) \
    "job \"j\" {\n group \"g\" {\n  task \"t\" {\n   driver = \"agent\"\n" more "  }\n }\n}\n"

static struct job *readable(const char *text)
{
    struct job *job = NULL;
    struct err err = { 0 };
    cr_assert(job_read("j.hcl", view_str(text), &job, &err), "%s", err.msg);
    return job;
}

Test(alloc, the_environment_is_what_nomad_gives_and_the_command_line_has_the_last_word)
{
    CLEANUP(job_freep)
    struct job *job = readable(
        JOB("   meta { team = \"blue\" }\n   resources { memory = 64 }\n"
            "   env {\n    A = \"${NOMAD_TASK_DIR}/x\"\n    B = \"${env.A}\"\n"
            "    C = 3\n    D = true\n   }\n"));
    struct alloc_place here = place;
    const char *const env[] = { "C=4", "E=a=b", NULL }, *const meta[] = { "k=v", NULL };
    here.env = env;
    here.meta = meta;
    CLEANUP(vars_fini) struct vars v = { 0 };
    struct err err = { 0 };
    cr_assert(alloc_vars(job, &here, &v, &err), "%s", err.msg);
    static const struct {
        const char *room, *name, *value;
    } rows[] = {
        { "env", "NOMAD_ALLOC_DIR", "/d/a/alloc" },
        { "env", "NOMAD_TASK_DIR", "/d/a/t/local" },
        { "env", "NOMAD_SECRETS_DIR", "/d/a/t/secrets" },
        { "env", "NOMAD_ALLOC_INDEX", "0" },
        { "env", "NOMAD_ALLOC_NAME", "j.g[0]" },
        { "env", "NOMAD_SHORT_ALLOC_ID", "0a1b" },
        { "env", "NOMAD_MEMORY_LIMIT", "64" },
        { "env", "NOMAD_META_team", "blue" },
        { "env", "NOMAD_META_TEAM", "blue" },
        { "env", "NOMAD_META_K", "v" },
        { "env", "A", "/d/a/t/local/x" },
        { "env", "B", "/d/a/t/local/x" },
        { "env", "C", "4" },
        { "env", "D", "true" },
        { "env", "E", "a=b" },
        { "node", "unique.name", "node-2" },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        cr_assert_str_eq(vars_find(&v, rows[i].room, rows[i].name), rows[i].value, "%s",
                         rows[i].name);
    cr_assert_null(vars_find(&v, "env", "NOMAD_CPU_LIMIT"));
}

Test(alloc, a_driver_with_images_gets_container_paths)
{
    CLEANUP(job_freep) struct job *job = readable(JOB(""));
    struct alloc_place here = place;
    here.is_image = true;
    CLEANUP(vars_fini) struct vars v = { 0 };
    struct err err = { 0 };
    cr_assert(alloc_vars(job, &here, &v, &err));
    cr_assert_str_eq(vars_find(&v, "env", "NOMAD_TASK_DIR"), "/local");
}

Test(alloc, a_reference_nobody_set_fails_with_its_place)
{
    CLEANUP(job_freep) struct job *job = readable(JOB("   env { A = \"${env.NOPE_X}\" }\n"));
    CLEANUP(vars_fini) struct vars v = { 0 };
    struct err err = { 0 };
    cr_assert_not(alloc_vars(job, &place, &v, &err));
    cr_assert_str_eq(err.msg, "j.hcl:5:14: ${env.NOPE_X} is not set here");
}

Test(alloc, the_message_is_one_the_driver_decodes)
{
    CLEANUP(job_freep)
    struct job *job = readable(
        JOB("   user = \"nobody\"\n   env { A = \"b\" }\n"
            "   resources {\n cpu = 5\n memory = 64\n memory_max = 128\n }\n"));
    CLEANUP(vars_fini) struct vars v = { 0 };
    CLEANUP(buf_fini) struct buf out = { 0 };
    struct err err = { 0 };
    cr_assert(alloc_vars(job, &place, &v, &err));
    alloc_put_task(job, &place, &v, "0a1b-c/t/1",
                   view_str("\x81\xa7"
                            "command\xa4/bin"),
                   &out);
    CLEANUP(task_spec_freep) struct task_spec *spec = NULL;
    cr_assert(task_spec_decode(buf_view(&out), &spec, &err), "%s", err.msg);
    cr_assert_str_eq(spec->id, "0a1b-c/t/1");
    cr_assert_str_eq(spec->name, "t");
    cr_assert_str_eq(spec->alloc_id, "0a1b-c");
    cr_assert_str_eq(spec->alloc_dir, "/d/a");
    cr_assert_str_eq(spec->user, "nobody");
    cr_assert_str_eq(spec->stdout_path, "/d/a/alloc/logs/.t.stdout.fifo");
    cr_assert_str_eq(spec->stderr_path, "/d/a/alloc/logs/.t.stderr.fifo");
    cr_assert_str_eq(spec->namespace_name, "default");
    cr_assert_str_eq(task_spec_env(spec, "A"), "b");
    cr_assert_str_eq(task_spec_env(spec, "NOMAD_JOB_ID"), "j");
    cr_assert_str_eq(spec->config.command, "/bin");
    cr_assert_eq(spec->resources.memory_mb, 64);
    cr_assert_eq(spec->resources.memory_max_mb, 128);
    cr_assert_eq(spec->resources.cpu_shares, 5);
}

Test(alloc, destinations_stay_in_the_task_or_the_shared_directory)
{
    static const struct {
        const char *text, *path;
    } rows[] = {
        { "local/x", "t/local/x" },
        { "/secrets/k", "t/secrets/k" },
        { "${NOMAD_TASK_DIR}/a/b", "t/local/a/b" },
        { "${NOMAD_ALLOC_DIR}/data", "alloc/data" },
        { "../alloc/data", "alloc/data" },
        { "../../etc/passwd", NULL },
        { "local/../../x", NULL },
        { "${NOMAD_TASK_DIR}/../../x", NULL },
        { "local//x", NULL },
        { "local/", NULL },
        { "", NULL },
        { ".", NULL },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP(str_freep)
        char *text = str_format(JOB("   template {\n    data = \"x\"\n"
                                    "    destination = \"%s\"\n   }\n"),
                                rows[i].text);
        CLEANUP(job_freep) struct job *job = readable(text);
        CLEANUP(vars_fini) struct vars v = { 0 };
        CLEANUP(str_freep) char *path = NULL;
        struct err err = { 0 };
        cr_assert(alloc_vars(job, &place, &v, &err));
        const struct hcl_node *destination = job->templates[0].destination;
        if (alloc_destination(job, &place, &v, destination, &path, &err))
            cr_assert_str_eq(path, rows[i].path);
        else
            cr_assert_str_eq(err.msg, "j.hcl:7:19: \"destination\" must stay in the task's or the "
                                      "shared directory");
        cr_assert_eq(path == NULL, rows[i].path == NULL, "%s", rows[i].text);
    }
}

Test(alloc, a_job_is_checked_without_starting_anything)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        { JOB("   config { command = \"/bin/true\" }\n"), NULL },
        { JOB("   config {\n    command = \"${NOMAD_TASK_DIR}/a\"\n    args = [\"x\"]\n"
              "    state {\n     path = \"local/s\"\n     store = \"file:///s\"\n    }\n   }\n"),
          NULL },
        { JOB("   config {\n    comand = \"/bin/true\"\n   }\n"),
          "j.hcl:6:5: unknown key \"comand\"; did you mean \"command\"?" },
        { JOB("   config {\n   }\n"), "j.hcl:5:4: \"command\" is missing in \"config\"" },
        { JOB(""), "j.hcl:1:1: \"command\" is missing in \"the file\"" },
        { JOB("   template {\n    data = \"${x}\"\n    destination = \"local/x\"\n   }\n"
              "   config { command = \"/a\" }\n"),
          "j.hcl:6:12: ${x}: unknown reference; for a literal write $${" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP(job_freep) struct job *job = readable(rows[i].text);
        struct err err = { 0 };
        cr_assert_eq(alloc_check(job, no_pairs, no_pairs, &err), rows[i].message == NULL, "%s",
                     err.msg);
        if (rows[i].message)
            cr_assert_str_eq(err.msg, rows[i].message);
    }
}

Test(alloc, a_wrong_value_in_the_config_has_its_place)
{
    CLEANUP(job_freep)
    struct job *job = readable(
        JOB("   config {\n    command = \"/a\"\n    state {\n     path = \"s\"\n"
            "     interval = \"5\"\n    }\n   }\n"));
    struct err err = { 0 };
    cr_assert_not(alloc_check(job, no_pairs, no_pairs, &err));
    cr_assert(strncmp(err.msg, "j.hcl:9:17: state.interval: ", 28) == 0, "%s", err.msg);
}

Test(alloc, ids_are_uuids_and_differ)
{
    char one[ALLOC_ID_BYTES], two[ALLOC_ID_BYTES];
    alloc_make_id(one);
    alloc_make_id(two);
    cr_assert_str_neq(one, two);
    cr_assert_eq(strlen(one), 36);
    cr_assert_eq(one[8], '-');
    cr_assert_eq(one[14], '4');
}
