#include "driver/surround/resolve.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/own.h"
#include "driver/nomad/task_spec.h"

static char root[] = "/tmp/resolve-XXXXXX";
static char alloc[64];
static struct err err;
static struct user_ids ids;

static void put(const char *path, const char *text, mode_t mode)
{
    char *full = str_format("%s/%s", root, path);
    char *dir = str_copy_n(full, (size_t)(strrchr(full, '/') - full));
    cr_assert(dir_make(dir, 0755, &err), "%s", err.msg);
    cr_assert(file_publish(AT_FDCWD, full, view_str(text), mode, FILE_REPLACE, &err), "%s",
              err.msg);
    free(dir);
    free(full);
}

static void setup(void)
{
    cr_assert_not_null(mkdtemp(root));
    (void)snprintf(alloc, sizeof(alloc), "%s/alloc", root);
    CLEANUP(str_freep) char *local = str_format("%s/web/local", alloc);
    cr_assert(dir_make(local, 0755, &err));
    ids = (struct user_ids){ .uid = 1000, .gid = 1000, .groups = { 1000, 27 }, .group_count = 2 };
}

static void teardown(void) { cr_assert(dir_remove_tree(root, &err)); }

TestSuite(resolve, .init = setup, .fini = teardown);

static struct task_spec *spec_of(const char *command)
{
    static const char env[] = "MARK=canary\0PATH=/usr/bin:/bin";
    struct task_spec *spec = mem_new(struct task_spec);
    spec->name = str_copy("web");
    spec->alloc_dir = str_copy(alloc);
    spec->job_id = str_copy("job");
    spec->group_name = str_copy("group");
    spec->namespace_name = str_copy("default");
    buf_put(&spec->env, view_of(env, sizeof(env)));
    spec->env_count = 2;
    spec->config.command = str_copy(command);
    return spec;
}

static void expect_command(const char *command, const char *wanted)
{
    CLEANUP(task_spec_freep) struct task_spec *spec = spec_of(command);
    CLEANUP(str_freep) char *found = NULL;
    cr_assert(command_find(spec, &ids, &found, &err), "%s", err.msg);
    CLEANUP(str_freep)
    char *full = wanted[0] == '/' ? str_copy(wanted) : str_format("%s/%s", alloc, wanted);
    cr_assert_str_eq(found, full);
}

static void refuse_command(const char *command, enum err_kind kind)
{
    CLEANUP(task_spec_freep) struct task_spec *spec = spec_of(command);
    char *found = NULL;
    cr_assert_not(command_find(spec, &ids, &found, &err), "%s", command);
    cr_assert_eq(err.kind, kind, "%s", err.msg);
    cr_assert_eq(strncmp(err.msg, "task config: command: ", 22), 0);
    cr_assert_null(found);
}

Test(resolve, looks_in_local_then_the_task_directory_then_path)
{
    expect_command("sh", "/usr/bin/sh");
    put("alloc/web/sh", "", 0755);
    expect_command("sh", "web/sh");
    put("alloc/web/local/sh", "", 0755);
    expect_command("sh", "web/local/sh");
    put("alloc/web/local/bin/tool", "", 0755);
    expect_command("bin/tool", "web/local/bin/tool");
    expect_command("local/bin/tool", "web/local/bin/tool");
    expect_command("/bin/sh", "/bin/sh");
}

Test(resolve, a_command_that_cannot_run_is_said_and_not_stepped_over)
{
    put("alloc/web/local/sh", "", 0644);
    refuse_command("sh", ERR_DENIED);
    refuse_command("/bin", ERR_INVALID);
    refuse_command("/dev/null", ERR_INVALID);
    refuse_command("/nowhere/x", ERR_NOT_FOUND);
    refuse_command("/etc/passwd/x", ERR_NOT_FOUND);
    refuse_command("bin/nowhere", ERR_NOT_FOUND);
    refuse_command("nowhere", ERR_NOT_FOUND);
}

Test(resolve, the_tasks_user_must_be_allowed_to_execute)
{
    put("alloc/web/local/own", "", 0700);
    ids.uid = geteuid();
    expect_command("own", "web/local/own");
    ids.uid = geteuid() + 1000;
    refuse_command("own", ERR_DENIED);
    put("alloc/web/local/group", "", 0650);
    ids.groups[1] = getegid();
    expect_command("group", "web/local/group");
    ids.groups[1] = ids.gid = getegid() + 1000;
    refuse_command("group", ERR_DENIED);
}

static char *etc(void)
{
    put("etc/passwd", "root:x:0:0::/:/bin/sh\nann:x:1000:1000::/:/bin/sh\n", 0644);
    put("etc/group", "root:x:0:\nann:x:1000:\nsudo:x:27:bob,ann\nwheel:x:10:bob\n", 0644);
    return str_format("%s/etc", root);
}

Test(resolve, finds_users_by_name_and_number_with_their_groups)
{
    if (geteuid() != 0)
        cr_skip_test("needs root");
    CLEANUP(str_freep) char *dir = etc();
    cr_assert(user_find(dir, "ann", &ids, &err), "%s", err.msg);
    cr_assert(ids.uid == 1000 && ids.gid == 1000 && ids.group_count == 2);
    cr_assert(ids.groups[0] == 1000 && ids.groups[1] == 27);
    cr_assert(user_find(dir, "1000", &ids, &err));
    cr_assert_eq(ids.group_count, 2);
    cr_assert(user_find(dir, "4711", &ids, &err));
    cr_assert(ids.uid == 4711 && ids.gid == 4711 && ids.group_count == 1);
    cr_assert(user_find(dir, "nomad-80001", &ids, &err));
    cr_assert(ids.uid == 80001 && ids.gid == 80001);
    cr_assert(user_find(dir, "", &ids, &err));
    cr_assert_eq(ids.uid, geteuid());
}

Test(resolve, refuses_users_that_are_not_there)
{
    CLEANUP(str_freep) char *dir = etc();
    const char *const names[] = { "bob", "nomad-", "nomad-x", "-1", "99999999999", "4294967295" };
    for (int i = 0; i < 6; i++) {
        cr_assert_not(user_find(dir, names[i], &ids, &err), "%s", names[i]);
        cr_assert_eq(err.kind, ERR_INVALID);
    }
    cr_assert_not(user_find("/nowhere", "ann", &ids, &err));
}

Test(resolve, a_state_path_stays_in_the_allocation)
{
    CLEANUP(task_spec_freep) struct task_spec *spec = spec_of("x");
    CLEANUP(str_freep) char *task_dir = NULL;
    CLEANUP(str_freep) char *path = NULL;
    cr_assert(task_dir_find(spec, &task_dir, &err), "%s", err.msg);
    spec->config.state.path = str_copy("local/state");
    cr_assert(state_path_find(spec, task_dir, &path, &err));
    CLEANUP(str_freep) char *wanted = str_format("%s/web/local/state", alloc);
    cr_assert_str_eq(path, wanted);
    str_freep(&path);
    str_freep(&spec->config.state.path);
    spec->config.state.path = str_copy(wanted);
    cr_assert(state_path_find(spec, task_dir, &path, &err));
    cr_assert_str_eq(path, wanted);
    const char *const outside[] = { "/etc", "/", root };
    for (int i = 0; i < 3; i++) {
        str_freep(&spec->config.state.path);
        spec->config.state.path = str_copy(outside[i]);
        cr_assert_not(state_path_find(spec, task_dir, &wanted, &err));
        cr_assert_eq(err.kind, ERR_INVALID);
    }
}

Test(resolve, an_agents_name_is_stable_over_allocations)
{
    CLEANUP(task_spec_freep) struct task_spec *spec = spec_of("x");
    CLEANUP(str_freep) char *name = agent_name_of(spec);
    cr_assert_str_eq(name, "default/job/group/web/0");
    buf_put(&spec->env, view_of("NOMAD_ALLOC_INDEX=3\0", 20));
    spec->env_count++;
    str_freep(&name);
    name = agent_name_of(spec);
    cr_assert_str_eq(name, "default/job/group/web/3");
    spec->config.state.name = str_copy("mine");
    str_freep(&name);
    name = agent_name_of(spec);
    cr_assert_str_eq(name, "mine");
}

Test(resolve, a_missing_task_directory_or_helper_is_said)
{
    CLEANUP(task_spec_freep) struct task_spec *spec = spec_of("x");
    char *found = NULL;
    free(spec->name);
    spec->name = str_copy("other");
    cr_assert_not(task_dir_find(spec, &found, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    cr_assert_not(helper_find(NULL, "agent-nothing", "/nowhere", &found, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    cr_assert(strstr(err.msg, "/nowhere/agent-nothing"));
    cr_assert_not(helper_find("/etc/passwd", "agent-nothing", "/nowhere", &found, &err));
    cr_assert_eq(err.kind, ERR_DENIED);
    cr_assert(helper_find("/bin/sh", "agent-nothing", "/nowhere", &found, &err));
    cr_assert_str_eq(found, "/bin/sh");
    free(found);
}
