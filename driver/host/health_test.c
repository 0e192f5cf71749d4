#include "driver/host/health.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/own.h"

static char root[] = "/tmp/health-XXXXXX";
static struct err err;
static struct host_health_memory memory;
static struct host_health_ask ask;
static char state[64], run[64], shim[64], sidecar[64], parent[64];

static void put_program(const char *path, const char *says)
{
    CLEANUP(str_freep) char *text = str_format("#!/bin/sh\necho run >>%s/runs\n%s\n", root, says);
    cr_assert(file_publish(AT_FDCWD, path, view_str(text), 0755, FILE_REPLACE, &err), "%s",
              err.msg);
}

static size_t runs(void)
{
    CLEANUP(str_freep) char *path = str_format("%s/runs", root);
    struct stat st;
    return stat(path, &st) == 0 ? (size_t)st.st_size / strlen("run\n") : 0;
}

static void setup(void)
{
    cr_assert_not_null(mkdtemp(root));
    (void)snprintf(state, sizeof(state), "%s/state", root);
    (void)snprintf(run, sizeof(run), "%s/run", root);
    (void)snprintf(shim, sizeof(shim), "%s/agent-shim", root);
    (void)snprintf(sidecar, sizeof(sidecar), "%s/agent-sidecar", root);
    (void)snprintf(parent, sizeof(parent), "%s/cgroup", root);
    cr_assert(mkdir(state, 0700) == 0 && mkdir(run, 0700) == 0);
    put_program(shim, "echo agent-shim 1.2");
    put_program(sidecar, "echo agent-sidecar 1.2");
    ask = (struct host_health_ask){ .state_dir = state,
                                    .run_dir = run,
                                    .shim = shim,
                                    .sidecar = sidecar,
                                    .version = "1.2",
                                    .now = wall_now() };
}

static void teardown(void) { cr_assert(dir_remove_tree(root, &err), "%s", err.msg); }

TestSuite(health, .init = setup, .fini = teardown);

static void expect(enum host_health wanted, const char *part)
{
    err = (struct err){ 0 };
    const enum host_health got = host_health_check(&ask, &memory, &err);
    cr_assert_eq(got, wanted, "%s: %s", host_health_text(got), err.msg);
    cr_expect(strstr(err.msg, part), "%s", err.msg);
}

Test(health, is_good_and_leaves_nothing)
{
    ask.cgroup_parent = parent;
    expect(HOST_GOOD, "");
    cr_expect_eq(rmdir(state), 0);
    cr_expect_eq(rmdir(run), 0);
    cr_expect_eq(rmdir(parent), 0);
}

Test(health, a_directory_in_which_nothing_can_be_written)
{
    ask.state_dir = "/proc/self";
    expect(HOST_STATE_DIR, "/proc/self");
    ask.state_dir = state;
    ask.run_dir = shim;
    expect(HOST_RUN_DIR, "agent-shim");
}

Test(health, something_in_the_way_and_back)
{
    CLEANUP(str_freep) char *probe = str_format("%s/.health", state);
    cr_assert_eq(mkdir(probe, 0700), 0);
    expect(HOST_STATE_DIR, state);
    cr_assert_eq(rmdir(probe), 0);
    expect(HOST_GOOD, "");
}

Test(health, a_cgroup_parent_that_cannot_be_used)
{
    ask.cgroup_parent = "/proc/nowhere";
    expect(HOST_CGROUP, "/proc/nowhere");
}

Test(health, a_helper_that_is_missing_or_no_program)
{
    cr_assert_eq(chmod(sidecar, 0644), 0);
    expect(HOST_SIDECAR, "agent-sidecar");
    cr_assert_eq(unlink(shim), 0);
    expect(HOST_SHIM, "agent-shim");
}

Test(health, a_helper_of_another_version_and_back)
{
    put_program(shim, "echo agent-shim 1.3");
    expect(HOST_SHIM, "\"agent-shim 1.3\", not \"agent-shim 1.2\"");
    put_program(shim, "echo agent-shim 1.2");
    expect(HOST_GOOD, "");
}

Test(health, a_helper_that_says_nothing_or_too_much)
{
    put_program(shim, "exit 64");
    expect(HOST_SHIM, "it says it is \"\"");
    put_program(shim, "while :; do echo agent-shim 1.2 agent-shim 1.2; done");
    expect(HOST_SHIM, "it says it is");
}

Test(health, a_helper_that_dribbles_gets_no_more_time)
{
    const struct mono begun = mono_now();
    put_program(shim, "while printf a; do sleep 0.2; done");
    expect(HOST_SHIM, "it says it is \"aaaa");
    cr_expect_lt(mono_diff_us(mono_now(), begun), 10000000, "it may dribble for 25 s");
}

Test(health, a_helper_is_asked_once_while_its_file_is_the_same)
{
    expect(HOST_GOOD, "");
    expect(HOST_GOOD, "");
    cr_expect_eq(runs(), 2, "one for each of the two");
    put_program(sidecar, "echo agent-sidecar 1.2");
    expect(HOST_GOOD, "");
    cr_expect_eq(runs(), 3);
}

Test(health, a_clock_that_is_not_set)
{
    ask.now = (struct wall){ 1000 };
    expect(HOST_CLOCK, "2025");
}

Test(health, texts_are_constant_and_all_there)
{
    for (unsigned i = 0; i < HOST_HEALTH_COUNT; i++) {
        const char *text = host_health_text(i);
        cr_assert(text && text[0]);
        cr_expect_eq(strcspn(text, "0123456789"), strlen(text), "no numbers in \"%s\"", text);
    }
}
