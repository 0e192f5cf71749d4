#include "driver/host/facts.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/own.h"
#include "driver/isolation/kernel.h"

static char root[] = "/tmp/facts-XXXXXX";

static void put(const char *path, const char *text)
{
    struct err err = { 0 };
    char *full = str_format("%s%s", root, path);
    char *dir = str_copy_n(full, (size_t)(strrchr(full, '/') - full));
    cr_assert(dir_make(dir, 0755, &err));
    cr_assert(file_publish(-100, full, view_str(text), 0644, FILE_REPLACE, &err), "%s", err.msg);
    free(dir);
    free(full);
}

static const char *value(const struct host_facts *facts, const char *key)
{
    for (size_t i = 0; i < HOST_ATTR_COUNT; i++)
        if (strcmp(facts->attrs[i].key, key) == 0)
            return facts->attrs[i].value;
    return NULL;
}

static void setup(void) { cr_assert_not_null(mkdtemp(root)); }

static void teardown(void)
{
    struct err err = { 0 };
    cr_assert(dir_remove_tree(root, &err));
}

TestSuite(facts, .init = setup, .fini = teardown);

Test(facts, counts_cores_and_takes_the_base_speed)
{
    put("/proc/stat", "cpu  1 2\ncpu0 1\ncpu1 1\nintr 5\n");
    put("/proc/cpuinfo", "processor\t: 0\ncpu MHz\t\t: 2100.123\n");
    struct host_facts facts;
    host_facts_read(root, &facts);
    cr_assert_eq(facts.cores, 2);
    cr_assert_eq(facts.core_mhz, 2100);
    put("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "3400000\n");
    host_facts_read(root, &facts);
    cr_assert_eq(facts.core_mhz, 3400);
    put("/sys/devices/system/cpu/cpu0/cpufreq/base_frequency", "2000000\n");
    host_facts_read(root, &facts);
    cr_assert_eq(facts.core_mhz, 2000);
}

Test(facts, what_cannot_be_read_is_absent)
{
    struct host_facts facts;
    host_facts_read(root, &facts);
    cr_assert_eq(facts.cores, 1);
    cr_assert_eq(facts.core_mhz, 0);
    cr_assert_str_eq(value(&facts, "driver.agent.pid_namespaces"), "");
}

Test(facts, pid_namespaces_need_the_capability)
{
    struct host_facts facts;
    put("/proc/self/ns/pid_for_children", "");
    put("/proc/self/status", "Name:\tx\nCapEff:\t000001ffffffffff\n");
    host_facts_read(root, &facts);
    cr_assert_str_eq(value(&facts, "driver.agent.pid_namespaces"), "true");
    put("/proc/self/status", "Name:\tx\nCapEff:\t00000000000000ff\n");
    host_facts_read(root, &facts);
    cr_assert_str_eq(value(&facts, "driver.agent.pid_namespaces"), "");
}

Test(facts, the_kernels_protections_are_told)
{
    struct host_facts facts;
    struct isolation_kernel kernel;
    char abi[16] = "";
    isolation_kernel_read(&kernel);
    if (kernel.landlock_abi > 0)
        (void)snprintf(abi, sizeof(abi), "%u", kernel.landlock_abi);
    host_facts_read(root, &facts);
    cr_assert_str_eq(value(&facts, "driver.agent.landlock"), abi);
    cr_assert_str_eq(value(&facts, "driver.agent.seccomp"), kernel.can_filter ? "true" : "");
    cr_assert_str_eq(value(&facts, "driver.agent.namespaces"), kernel.is_root ? "true" : "");
    cr_assert_str_eq(value(&facts, "driver.agent.mounts"), kernel.can_mount ? "true" : "");
}

Test(facts, this_machine_has_a_kernel_and_cores)
{
    struct host_facts facts;
    host_facts_read("", &facts);
    cr_assert(strlen(value(&facts, "driver.agent.kernel")) > 0);
    cr_assert_gt(facts.cores, 0);
    for (size_t i = 0; i < HOST_ATTR_COUNT; i++)
        cr_assert_eq(strncmp(facts.attrs[i].key, "driver.agent.", 13), 0);
}

Test(facts, what_is_not_measured_is_told)
{
    struct host_facts facts;
    host_facts_read(root, &facts);
    cr_assert_str_eq(value(&facts, "driver.agent.version"), AGENT_VERSION);
    cr_assert_str_eq(value(&facts, "driver.agent.log_collection"), "");
    host_facts_tell(&facts, HOST_ATTR_LOG_COLLECTION, "shim");
    cr_assert_str_eq(value(&facts, "driver.agent.log_collection"), "shim");
}

Test(facts, each_has_its_line_of_documentation)
{
    struct host_facts facts;
    CLEANUP(buf_fini) struct buf doc = { 0 };
    host_facts_read(root, &facts);
    host_facts_put_doc(&doc);
    for (size_t i = 0; i < HOST_ATTR_COUNT; i++) {
        CLEANUP(str_freep) char *line = str_format("\n| `%s` | ", facts.attrs[i].key);
        cr_assert_not_null(strstr(buf_borrow_str(&doc), line), "%s", line);
    }
}

Test(facts, controllers_are_named_with_their_version_and_taken_back)
{
    struct host_facts facts;
    put("/proc/self/mountinfo", "29 25 0:26 / /cg/memory rw - cgroup cgroup rw,memory\n"
                                "30 25 0:27 / /cg rw - cgroup2 cgroup2 rw\n");
    put("/cg/cgroup.controllers", "pids io\n");
    put("/cg/memory/cgroup.procs", "");
    host_facts_read(root, &facts);
    cr_expect_str_eq(value(&facts, "driver.agent.cgroup.memory"), "v1");
    cr_expect_str_eq(value(&facts, "driver.agent.cgroup.pids"), "v2");
    cr_expect_str_eq(value(&facts, "driver.agent.cgroup.io"), "v2");
    cr_expect_str_eq(value(&facts, "driver.agent.cgroup.cpu"), "");
    put("/cg/cgroup.controllers", "\n");
    host_facts_read(root, &facts);
    cr_expect_str_eq(value(&facts, "driver.agent.cgroup.pids"), "");
}
