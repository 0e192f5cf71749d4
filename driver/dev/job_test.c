#include "driver/dev/job.h"

#include "common/base/own.h"
#include "driver/dev/job_keys.def"

#include <criterion/criterion.h>
#include <stdio.h>

static struct job *readable(const char *text)
{
    struct job *job = NULL;
    struct err err = { 0 };
    cr_assert(job_read("j.hcl", view_str(text), &job, &err), "%s", err.msg);
    return job;
}

static void refused(const char *text, const char *message)
{
    struct job *job = NULL;
    struct err err = { 0 };
    cr_assert_not(job_read("j.hcl", view_str(text), &job, &err), "accepted: %s", text);
    cr_assert_null(job);
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_str_eq(err.msg, message);
}

/* A job whose task has `more` from line 5 on. */
#define JOB(more) \
    "job \"j\" {\n group \"g\" {\n  task \"t\" {\n   driver = \"agent\"\n" more "  }\n }\n}\n"

Test(job, the_first_task_of_our_driver_is_taken_with_its_group)
{
    CLEANUP(job_freep)
    struct job *job = readable("job \"agents\" {\n"
                               " datacenters = [\"dc7\"]\n region = \"eu\"\n namespace = \"prod\"\n"
                               " meta { a = \"job\" }\n"
                               " group \"web\" {\n  task \"x\" {\n driver = \"exec\"\n }\n }\n"
                               " group \"g\" {\n  count = 3\n"
                               "  restart {\n attempts = 5\n delay = \"1s\"\n }\n"
                               "  task \"planner\" {\n"
                               "   driver = \"agent\"\n   user = \"nobody\"\n"
                               "   kill_timeout = \"30s\"\n   kill_signal = \"SIGINT\"\n"
                               "   meta = { b = \"task\" }\n"
                               "   env {\n A = \"x\"\n B = 2\n }\n"
                               "   config { command = \"/bin/true\" }\n"
                               "   template {\n data = \"x\"\n destination = \"local/x\"\n"
                               "    perms = \"755\"\n }\n"
                               "   resources {\n cpu = 200\n memory = 64\n memory_max = 128\n }\n"
                               "   identity {\n file = true\n }\n"
                               "  }\n }\n}\n");
    cr_assert_str_eq(job->name, "agents");
    cr_assert_str_eq(job->group, "g");
    cr_assert_str_eq(job->task, "planner");
    cr_assert_str_eq(job->namespace_name, "prod");
    cr_assert_str_eq(job->region, "eu");
    cr_assert_str_eq(job->datacenter, "dc7");
    cr_assert_str_eq(job->user, "nobody");
    cr_assert_str_eq(job->kill_signal, "SIGINT");
    cr_assert_eq(job->kill_timeout_ms, 30000);
    cr_assert_eq(job->meta.count, 2);
    cr_assert_str_eq(job->meta.items[1].key, "b");
    cr_assert_eq(job->env.count, 2);
    cr_assert_not_null(job->config);
    cr_assert_eq(job->template_count, 1);
    cr_assert_eq(job->templates[0].mode, 0755);
    cr_assert_eq(job->cpu_mhz, 200);
    cr_assert_eq(job->memory_mb, 64);
    cr_assert_eq(job->memory_max_mb, 128);
    cr_assert(job->restart.is_given);
    cr_assert_eq(job->restart.attempts, 5);
    cr_assert_eq(job->restart.delay_ms, 1000);
    cr_assert_eq(job->restart.interval_ms, 1800000);
    cr_assert_str_eq(buf_borrow_str(&job->not_applied),
                     "count (line 12), task \"x\" (line 7), identity (line 38)");
}

Test(job, what_a_job_leaves_out_has_nomads_default)
{
    CLEANUP(job_freep) struct job *job = readable(JOB(""));
    cr_assert_str_eq(job->namespace_name, "default");
    cr_assert_str_eq(job->region, "global");
    cr_assert_str_eq(job->datacenter, "dc1");
    cr_assert_str_eq(job->user, "");
    cr_assert_eq(job->kill_timeout_ms, 5000);
    cr_assert_eq(job->memory_mb, 0);
    cr_assert_null(job->config);
    cr_assert_not(job->restart.is_given);
    cr_assert_eq(job->not_applied.len, 0);
    job_free(NULL);
}

Test(job, mistakes_have_file_line_and_column)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        { "", "j.hcl:1:1: a job file holds one block: job \"name\" { ... }" },
        { "jib \"x\" {\n}", "j.hcl:1:1: unknown key \"jib\"; did you mean \"job\"?" },
        { "job {\n}", "j.hcl:1:1: block \"job\" takes 1 label, not 0" },
        { "job \"a\" {\n}\njob \"b\" {\n}",
          "j.hcl:3:1: \"job\" stands here twice, first in line 1" },
        { "job \"a\" {\n}", "j.hcl:1:1: no task here has driver = \"agent\"" },
        { "job \"a/b\" {\n}",
          "j.hcl:1:1: the name of this job must have 1 to 128 bytes, no slash and "
          "no dot in front" },
        { "job \"a\" {\n group \"g\" {\n  task \"t\" {\n   driver = \"docker\"\n  }\n }\n}",
          "j.hcl:3:3: no task here has driver = \"agent\"" },
        { "variable \"x\" {\n}", "j.hcl:1:1: \"variable\" is not supported by agent-dev" },
        { JOB("   confg {\n   }\n"), "j.hcl:5:4: unknown key \"confg\"; did you mean \"config\"?" },
        { JOB("   config = {}\n"),
          "j.hcl:5:4: \"config\" is a block: write config { ... } without =" },
        { JOB("   config {\n   }\n   config {\n   }\n"),
          "j.hcl:7:4: \"config\" stands here twice, first in line 5" },
        { JOB("   user {\n   }\n"), "j.hcl:5:4: \"user\" is not a block: write user = ..." },
        { JOB("   user = 5\n"), "j.hcl:5:11: \"user\" must be a quoted string, not a number" },
        { JOB("   kill_timeout = 5\n"),
          "j.hcl:5:19: \"kill_timeout\" must be a quoted duration such as \"15s\", not a number" },
        { JOB("   env = \"x\"\n"), "j.hcl:5:10: \"env\" must be a block or a map" },
        { JOB("   env { A = [] }\n"), "j.hcl:5:14: \"A\" must be a string, not a list" },
        { JOB("   artifact {\n   }\n"), "j.hcl:5:4: \"artifact\" is not supported by agent-dev" },
        { JOB("   template {\n   }\n"), "j.hcl:5:4: a template needs \"data\", a string" },
        { JOB("   template { data = \"x\" }\n"),
          "j.hcl:5:4: a template needs \"destination\", a string" },
        { JOB("   template {\n    data = \"{{ key }}\"\n    destination = \"local/x\"\n   }\n"),
          "j.hcl:6:12: template functions {{ }} are not supported by agent-dev" },
        { JOB("   template {\n    perms = \"9\"\n   }\n"),
          "j.hcl:6:13: \"perms\" must be an octal mode such as \"0755\"" },
        { JOB("   resources { memory = \"lots\" }\n"),
          "j.hcl:5:25: \"memory\" must be an integer from 1 to 16777216" },
        { JOB("   restart { tries = 1 }\n"), "j.hcl:5:14: unknown key \"tries\"" },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        refused(rows[i].text, rows[i].message);
}

#define KEY_ROW(level, key, shape, labels, use) { #level, key, #use },
static const struct {
    const char *level, *key, *use;
} keys[] = { JOB_KEYS(KEY_ROW) };

Test(job, a_misspelt_copy_of_each_task_key_fails_with_its_name)
{
    for (size_t i = 0; i < COUNT(keys); i++) {
        if (strcmp(keys[i].level, "TASK") != 0)
            continue;
        char text[400], wanted[64];
        (void)snprintf(text, sizeof text, JOB("   %sq = 1\n"), keys[i].key);
        (void)snprintf(wanted, sizeof wanted, "j.hcl:5:4: unknown key \"%sq\"", keys[i].key);
        struct job *job = NULL;
        struct err err = { 0 };
        cr_assert_not(job_read("j.hcl", view_str(text), &job, &err));
        cr_assert(strncmp(err.msg, wanted, strlen(wanted)) == 0, "%s", err.msg);
    }
}

Test(job, every_cut_job_is_read_or_names_its_place)
{
    static const char whole[] = JOB("   env { A = \"x\" }\n   config {\n    a = <<E\nx\nE\n   }\n");
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        struct job *job = NULL;
        struct err err = { 0 };
        unsigned line, col;
        if (job_read("j", view_of(whole, len), &job, &err))
            job_free(job);
        else
            cr_assert_eq(sscanf(err.msg, "j:%u:%u: ", &line, &col), 2, "%s", err.msg);
    }
}

Test(job, restarts_are_counted_in_their_interval)
{
    const struct job_restart none = { 0 }, two = { true, 2, 1000, 10 };
    struct job_restarts done = { 0 };
    cr_assert_not(job_restart_is_due(&none, &done, (struct boot){ 0 }));
    cr_assert(job_restart_is_due(&two, &done, (struct boot){ 0 }));
    cr_assert(job_restart_is_due(&two, &done, (struct boot){ 500 * NS_PER_MS }));
    cr_assert_not(job_restart_is_due(&two, &done, (struct boot){ 900 * NS_PER_MS }));
    cr_assert(job_restart_is_due(&two, &done, (struct boot){ 1001 * NS_PER_MS }));
}
