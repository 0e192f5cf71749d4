#include "driver/nomad/task_spec.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "common/base/own.h"
#include "driver/proto/task.pb-c.h"

static struct err err;
static struct task_spec *got;

static ProtobufCBinaryData data_of(const char *text)
{
    return (ProtobufCBinaryData){ strlen(text), (uint8_t *)(uintptr_t)text };
}

/* What every test starts from; each changes one thing. */
static Nd__TaskConfig sample(void)
{
    Nd__TaskConfig msg = ND__TASK_CONFIG__INIT;
    msg.id = data_of("a1/web/12345678");
    msg.name = data_of("web");
    msg.alloc_id = data_of("a1");
    msg.alloc_dir = data_of("/alloc");
    msg.stdout_path = data_of("/alloc/out");
    msg.stderr_path = data_of("/dev/null");
    msg.msgpack_driver_config = data_of("\x81\xa7"
                                        "command"
                                        "\xa1x");
    return msg;
}

static bool decode(const Nd__TaskConfig *msg)
{
    err = (struct err){ 0 };
    const size_t size = nd__task_config__get_packed_size(msg);
    uint8_t *bytes = mem_array(1, size + 1);
    nd__task_config__pack(msg, bytes);
    const bool ok = task_spec_decode(view_of(bytes, size), &got, &err);
    free(bytes);
    return ok;
}

static void refuse(const Nd__TaskConfig *msg, const char *part)
{
    cr_assert_not(decode(msg), "%s", part);
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert(strstr(err.msg, part), "%s", err.msg);
}

Test(task_spec, decodes_all_that_a_start_needs)
{
    Nd__TaskConfig msg = sample();
    Nd__Resources resources = ND__RESOURCES__INIT;
    Nd__AllocatedTaskResources allocated = ND__ALLOCATED_TASK_RESOURCES__INIT;
    Nd__AllocatedMemoryResources memory = ND__ALLOCATED_MEMORY_RESOURCES__INIT;
    Nd__LinuxResources host = ND__LINUX_RESOURCES__INIT;
    memory.memory_mb = 64;
    memory.memory_max_mb = -1;
    host.cpuset_cgroup = data_of("/sys/fs/cgroup/x");
    allocated.memory = &memory;
    resources.allocated_resources = &allocated;
    resources.linux_resources = &host;
    msg.resources = &resources;
    msg.namespace_ = data_of("default");
    cr_assert(decode(&msg), "%s", err.msg);
    cr_assert_str_eq(got->id, "a1/web/12345678");
    cr_assert_str_eq(got->namespace_name, "default");
    cr_assert_str_eq(got->user, "");
    cr_assert_eq(got->resources.memory_mb, 64);
    cr_assert_eq(got->resources.memory_max_mb, -1);
    cr_assert_str_eq(got->resources.cpuset_cgroup, "/sys/fs/cgroup/x");
    cr_assert_null(got->resources.cpuset_cpus);
    cr_assert_str_eq(got->config.command, "x");
    task_spec_free(got);
}

Test(task_spec, an_empty_message_and_garbage_are_errors)
{
    cr_assert_not(task_spec_decode(view_of("", 0), &got, &err));
    cr_assert_str_eq(err.msg, "task: id: is missing");
    cr_assert_not(task_spec_decode(view_str("\xff\xff"), &got, &err));
    cr_assert_str_eq(err.msg, "task: malformed message");
}

Test(task_spec, names_the_field_that_is_wrong)
{
    Nd__TaskConfig msg = sample();
    msg.alloc_dir = data_of("alloc");
    refuse(&msg, "task: alloc_dir: is not an absolute path");
    msg = sample();
    msg.name = data_of("..");
    refuse(&msg, "task: name: \"..\" is not a file name");
    msg = sample();
    msg.name = data_of("a/b");
    refuse(&msg, "task: name");
    msg = sample();
    msg.id = (ProtobufCBinaryData){ 3, (uint8_t *)(uintptr_t) "a\0b" };
    refuse(&msg, "task: id: is not UTF-8 text, or has a NUL");
    msg = sample();
    msg.user = data_of("\xff");
    refuse(&msg, "task: user");
    msg = sample();
    msg.stdout_path = data_of("");
    refuse(&msg, "task: stdout_path: is missing");
    msg = sample();
    msg.msgpack_driver_config = data_of("\x80");
    refuse(&msg, "task config: command: is required");
}

static void set_env(Nd__TaskConfig *msg, Nd__TextEntry *entries, Nd__TextEntry **list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        list[i] = &entries[i];
    msg->env = list;
    msg->n_env = count;
}

Test(task_spec, sorts_the_environment_and_the_last_of_a_name_counts)
{
    Nd__TaskConfig msg = sample();
    Nd__TextEntry entries[4], *list[4];
    const char *const pairs[4][2] = { { "B", "1" }, { "A", "x=y" }, { "B", "2" }, { "AA", "" } };
    for (size_t i = 0; i < 4; i++) {
        nd__text_entry__init(&entries[i]);
        entries[i].key = data_of(pairs[i][0]);
        entries[i].value = data_of(pairs[i][1]);
    }
    set_env(&msg, entries, list, 4);
    cr_assert(decode(&msg), "%s", err.msg);
    cr_assert_eq(got->env_count, 3);
    cr_assert(view_is_equal(buf_view(&got->env), view_of("A=x=y\0AA=\0B=2\0", 14)));
    cr_assert_str_eq(task_spec_env(got, "A"), "x=y");
    cr_assert_str_eq(task_spec_env(got, "B"), "2");
    cr_assert_null(task_spec_env(got, "C"));
    task_spec_free(got);
}

Test(task_spec, refuses_bad_variables_without_quoting_their_values)
{
    Nd__TaskConfig msg = sample();
    Nd__TextEntry entry = ND__TEXT_ENTRY__INIT, *list[1];
    set_env(&msg, &entry, list, 1);
    entry.key = data_of("TOKEN");
    entry.value = (ProtobufCBinaryData){ 9, (uint8_t *)(uintptr_t) "canary\0xx" };
    refuse(&msg, "task: env: TOKEN: the value has a NUL");
    cr_assert_null(strstr(err.msg, "canary"));
    entry.key = data_of("A=B");
    refuse(&msg, "task: env: a name");
    entry.key = data_of("");
    refuse(&msg, "task: env: a name");
    char *large = mem_array(1, 200000);
    memset(large, 'x', 199999);
    entry.key = data_of("BIG");
    entry.value = data_of(large);
    refuse(&msg, "task: env: BIG: has more than");
    free(large);
}

Test(task_spec, decodes_volumes_devices_and_the_network)
{
    Nd__TaskConfig msg = sample();
    Nd__Mount mount = ND__MOUNT__INIT;
    Nd__Mount *mounts[] = { &mount };
    Nd__Device device = ND__DEVICE__INIT;
    Nd__Device *devices[] = { &device };
    Nd__NetworkIsolationSpec network = ND__NETWORK_ISOLATION_SPEC__INIT;
    Nd__HostsConfig hosts = ND__HOSTS_CONFIG__INIT;
    Nd__DNSConfig dns = ND__DNSCONFIG__INIT;
    ProtobufCBinaryData servers[] = { data_of("10.0.0.53") };
    mount.task_path = data_of("local/x");
    mount.host_path = data_of("/srv");
    mount.readonly = true;
    device.task_path = data_of("/dev/x");
    device.host_path = data_of("/dev/null");
    device.cgroup_permissions = data_of("rw");
    network.path = data_of("/run/netns/a");
    network.hosts_config = &hosts;
    hosts.hostname = data_of("box");
    hosts.address = data_of("172.26.64.2");
    dns.servers = servers;
    dns.n_servers = 1;
    msg.mounts = mounts;
    msg.n_mounts = 1;
    msg.devices = devices;
    msg.n_devices = 1;
    msg.network_isolation_spec = &network;
    msg.dns = &dns;
    cr_assert(decode(&msg), "%s", err.msg);
    cr_assert_eq(got->volume_count, 1);
    cr_expect_str_eq(got->volumes[0].task_path, "local/x");
    cr_expect_str_eq(got->volumes[0].propagation, "");
    cr_expect(got->volumes[0].readonly);
    cr_assert_eq(got->device_count, 1);
    cr_expect_str_eq(got->devices[0].permissions, "rw");
    cr_expect_str_eq(got->netns_path, "/run/netns/a");
    cr_expect_str_eq(got->host_name, "box");
    cr_expect_str_eq(got->host_address, "172.26.64.2");
    cr_expect(got->has_dns);
    cr_expect_str_eq(got->dns_servers.items[0], "10.0.0.53");
    task_spec_free(got);
    mount.host_path = data_of("srv");
    refuse(&msg, "mounts.host_path");
    mount.host_path = data_of("/srv");
    device.task_path = data_of("");
    refuse(&msg, "devices.task_path");
    device.task_path = data_of("/dev/x");
    servers[0] = data_of("10.0.0.53\nsearch evil");
    refuse(&msg, "dns.servers");
    network.path = data_of("netns");
    refuse(&msg, "network_isolation_spec.path");
}

Test(task_spec, more_mounts_than_are_sane_are_refused)
{
    Nd__TaskConfig msg = sample();
    Nd__Mount mount = ND__MOUNT__INIT;
    Nd__Mount *mounts[TASK_MOUNTS_MAX + 1];
    for (size_t i = 0; i <= TASK_MOUNTS_MAX; i++)
        mounts[i] = &mount;
    msg.mounts = mounts;
    msg.n_mounts = TASK_MOUNTS_MAX + 1;
    refuse(&msg, "mounts");
}

/* The agent's database keeps all but the job's own block. */
Test(task_spec, the_stored_copy_needs_no_configuration)
{
    Nd__TaskConfig msg = sample();
    msg.msgpack_driver_config = data_of("");
    uint8_t bytes[512];
    const size_t size = nd__task_config__pack(&msg, bytes);
    refuse(&msg, "command");
    cr_assert(task_spec_decode_stored(view_of(bytes, size), &got, &err), "%s", err.msg);
    cr_expect_str_eq(got->alloc_dir, "/alloc");
    cr_expect_null(got->config.command);
    task_spec_free(got);
    msg.id = data_of("");
    const size_t less = nd__task_config__pack(&msg, bytes);
    cr_assert_not(task_spec_decode_stored(view_of(bytes, less), &got, &err));
}
