#include "driver/isolation/draft.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/base/file.h"
#include "common/base/own.h"
#include "driver/isolation/caps.h"
#include "driver/isolation/seccomp.h"
#include "driver/isolation/tables.def"

static struct isolation_draft draft;
static struct err err;

static struct isolation_wish everything(void)
{
    return (struct isolation_wish){ .kernel = { true, true, true, 7 },
                                    .caps_bound = 3,
                                    .umask = 022,
                                    .task_dir = "/var/nomad/alloc/1/web",
                                    .shared_dir = "/var/nomad/alloc/1/alloc",
                                    .hidden_dir = "/var/nomad/alloc",
                                    .records_dir = "/var/lib/nomad-driver-agent",
                                    .sockets_dir = "/run/nomad-driver-agent",
                                    .command = "/usr/bin/python3" };
}

static void make(const struct isolation_wish *wish)
{
    isolation_draft_fini(&draft);
    cr_assert(isolation_draft_make(wish, &draft, &err), "%s", err.msg);
}

static const struct isolation_mount *mount_at(const char *root, const char *target)
{
    for (size_t i = 0; i < draft.plan.mount_count; i++)
        if (strcmp(draft.plan.mount[i].root, root) == 0 &&
            strcmp(draft.plan.mount[i].target, target) == 0)
            return &draft.plan.mount[i];
    return NULL;
}

static unsigned access_to(const char *path)
{
    for (size_t i = 0; i < draft.plan.rule_count; i++)
        if (strcmp(draft.plan.rules[i].path, path) == 0)
            return draft.plan.rules[i].access;
    return 0;
}

static void finish(void) { isolation_draft_fini(&draft); }
TestSuite(draft, .fini = finish);

Test(draft, a_kernel_that_has_all_gives_all)
{
    const struct isolation_wish wish = everything();
    make(&wish);
    cr_expect_eq(draft.plan.mounts, ISOLATION_MOUNTS_OWN);
    cr_expect_eq(draft.plan.flags, ISOLATION_NO_NEW_PRIVS | ISOLATION_OWN_IPC | ISOLATION_OWN_UTS |
                                       ISOLATION_OWN_CGROUP | ISOLATION_CAPS);
    cr_expect_eq(draft.plan.landlock_abi, 7);
    cr_expect_gt(draft.plan.filter.len, 100);
    cr_expect_eq(draft.plan.caps_bound, 3);
    cr_expect_eq(draft.plan.caps_given, 0);
    cr_expect_str_eq(draft.missing, "");
}

Test(draft, the_plan_survives_its_bytes)
{
    const struct isolation_wish wish = everything();
    static struct isolation_plan got;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    make(&wish);
    isolation_encode(&draft.plan, &bytes);
    cr_expect_lt(bytes.len, ISOLATION_BYTES_MAX / 2);
    cr_assert(isolation_decode(buf_view(&bytes), &got, &err), "%s", err.msg);
    cr_expect_eq(got.mount_count, draft.plan.mount_count);
}

Test(draft, what_is_writable_is_the_tasks_and_nothing_else)
{
    struct isolation_wish wish = everything();
    const struct isolation_wish_path paths[] = { { "/var/nomad/alloc/1/web/state",
                                                   ISOLATION_READ | ISOLATION_WRITE, false } };
    wish.paths = paths;
    wish.path_count = 1;
    make(&wish);
    static const char *const writable[] = { "/var/nomad/alloc/1/web/local",
                                            "/var/nomad/alloc/1/web/tmp",
                                            "/var/nomad/alloc/1/web/state",
                                            "/var/nomad/alloc/1/alloc",
                                            "/tmp",
                                            "/var/tmp",
                                            "/dev/shm" };
    size_t count = 0;
    for (size_t i = 0; i < draft.plan.rule_count; i++)
        count += (draft.plan.rules[i].access & ISOLATION_WRITE) != 0 ? 1 : 0;
    cr_expect_eq(count, COUNT(writable));
    for (size_t i = 0; i < COUNT(writable); i++)
        cr_expect(access_to(writable[i]) & ISOLATION_WRITE, "%s", writable[i]);
    cr_expect_eq(access_to("/usr"), ISOLATION_READ | ISOLATION_EXECUTE | ISOLATION_FOLLOW);
    cr_expect_eq(access_to("/var/nomad/alloc/1/web") & ISOLATION_WRITE, 0);
    const struct isolation_mount *secrets = mount_at("/var/nomad/alloc/1/web", "secrets");
    cr_assert_not_null(secrets);
    cr_expect(secrets->flags & ISOLATION_RDONLY);
    cr_assert_not_null(mount_at("/var/nomad/alloc/1/web", "private"));
}

/* What is covered comes before what is brought back into it. */
Test(draft, others_are_hidden_and_the_task_is_brought_back)
{
    struct isolation_wish wish = everything();
    wish.api = "/run/nomad-driver-agent/key.api";
    wish.command = "/var/nomad/alloc/tools/run";
    make(&wish);
    const struct isolation_mount *cover = mount_at("/", "var/nomad/alloc");
    const struct isolation_mount *task = mount_at("/", "var/nomad/alloc/1/web");
    const struct isolation_mount *command = mount_at("/", "var/nomad/alloc/tools/run");
    const struct isolation_mount *sockets = mount_at("/", "run/nomad-driver-agent");
    const struct isolation_mount *api = mount_at("/", "run/nomad-driver-agent/key.api");
    cr_assert(cover && task && command && sockets && api);
    cr_expect_eq(cover->kind, ISOLATION_COVER);
    cr_expect(cover < task && cover < command && sockets < api);
    cr_expect(command->flags & ISOLATION_RDONLY);
    cr_expect_not(api->flags & ISOLATION_RDONLY);
    cr_expect(task->flags & ISOLATION_NODEV);
    cr_assert_not_null(mount_at("/", "var/lib/nomad-driver-agent"));
}

Test(draft, a_task_that_lies_in_tmp_gets_an_empty_one)
{
    struct isolation_wish wish = everything();
    make(&wish);
    cr_expect_eq(mount_at("/", "tmp")->kind, ISOLATION_BIND);
    wish.task_dir = "/tmp/a/1/web";
    wish.shared_dir = "/tmp/a/1/alloc";
    wish.hidden_dir = "/tmp/a";
    wish.command = "/tmp/stub";
    make(&wish);
    cr_expect_eq(mount_at("/", "tmp")->kind, ISOLATION_TMPFS);
    cr_expect_not_null(mount_at("/", "tmp/stub"));
    cr_expect_lt(mount_at("/", "tmp"), mount_at("/", "tmp/a/1/web"));
}

Test(draft, what_is_not_to_be_had_is_left_out_and_named)
{
    struct isolation_wish wish = everything();
    wish.kernel = (struct isolation_kernel){ 0 };
    wish.uid = 1000;
    make(&wish);
    cr_expect_str_eq(draft.missing, "namespaces, mounts, seccomp, Landlock");
    cr_expect_eq(draft.plan.mounts, ISOLATION_MOUNTS_HOST);
    cr_expect_eq(draft.plan.flags, ISOLATION_NO_NEW_PRIVS);
    cr_expect_eq(draft.plan.mount_count + draft.plan.rule_count + draft.plan.filter.len, 0);
    wish.kernel.is_root = true;
    make(&wish);
    cr_expect_str_eq(draft.missing, "mounts, seccomp, Landlock");
    cr_expect_eq(draft.plan.mounts, ISOLATION_MOUNTS_AUTO);
}

/* What is there from before is of another wish. */
static bool try(const struct isolation_wish *wish)
{
    isolation_draft_fini(&draft);
    return isolation_draft_make(wish, &draft, &err);
}

static void is_denied(const struct isolation_wish *wish, const char *part)
{
    cr_expect_not(try(wish));
    cr_expect_eq(err.kind, ERR_DENIED);
    cr_expect(strstr(err.msg, part), "%s", err.msg);
}

Test(draft, what_is_required_is_had_or_refused)
{
    struct isolation_wish wish = everything();
    wish.require = true;
    make(&wish);
    wish.kernel.landlock_abi = 0;
    is_denied(&wish, "Landlock");
    wish.no_landlock = true; /* not wanted, so not missing */
    make(&wish);
    wish.kernel.can_filter = false;
    is_denied(&wish, "seccomp");
}

Test(draft, what_a_job_names_is_never_left_out)
{
    const struct isolation_wish_mount mount = { "/srv", "/var/nomad/alloc/1/web", "data", 0 };
    const struct isolation_wish_device device = { "/dev/kvm", "/dev/kvm", ISOLATION_READ };
    struct isolation_wish base = everything();
    base.kernel = (struct isolation_kernel){ .can_filter = true, .landlock_abi = 7 };
    base.uid = 1000;
    base.caps_bound = 0;
    make(&base);
    struct isolation_wish wish = base;
    wish.mounts = &mount;
    wish.mount_count = 1;
    is_denied(&wish, "mount");
    wish = base;
    wish.devices = &device;
    wish.device_count = 1;
    is_denied(&wish, "devices");
    wish = base;
    wish.netns = "/run/netns/a";
    is_denied(&wish, "network namespace");
    wish = base;
    wish.caps_given = wish.caps_bound = 1;
    is_denied(&wish, "cap_add");
    wish = base;
    wish.resolv_at = "/etc/resolv.conf";
    wish.resolv = "";
    is_denied(&wish, "dns");
    wish = base;
    wish.nice = -1;
    is_denied(&wish, "nice");
}

Test(draft, who_may_make_device_nodes_has_mounts_and_landlock)
{
    const uint64_t mknod_cap = 1ULL << 27;
    struct isolation_wish base = everything();
    base.caps_bound |= mknod_cap;
    make(&base);
    struct isolation_wish wish = base;
    wish.no_landlock = true;
    is_denied(&wish, "cap_add: mknod");
    wish = base;
    wish.no_mounts = true;
    is_denied(&wish, "cap_add: mknod");
    wish = base;
    wish.kernel.landlock_abi = 0;
    is_denied(&wish, "cap_add: mknod");
    wish.caps_bound &= ~mknod_cap;
    make(&wish);
}

Test(draft, an_agent_may_do_without)
{
    struct isolation_wish wish = everything();
    wish.no_seccomp = wish.no_landlock = wish.no_mounts = wish.new_privs = true;
    wish.host_pid = wish.host_ipc = true;
    make(&wish);
    cr_expect_eq(draft.plan.mounts, ISOLATION_MOUNTS_HOST);
    cr_expect_eq(draft.plan.flags,
                 ISOLATION_HOST_PID | ISOLATION_OWN_UTS | ISOLATION_OWN_CGROUP | ISOLATION_CAPS);
    cr_expect_eq(draft.plan.landlock_abi, 0);
    cr_expect_eq(draft.plan.filter.len, 0);
    cr_expect_str_eq(draft.missing, "");
}

Test(draft, devices_and_mounts_are_placed_and_allowed)
{
    struct isolation_wish wish = everything();
    const struct isolation_wish_device device = { "/dev/kvm", "/dev/vm0",
                                                  ISOLATION_READ | ISOLATION_DEVICE };
    const struct isolation_wish_mount mounts[] = {
        { "/srv/a", "/var/nomad/alloc/1/web", "data", ISOLATION_RDONLY },
        { "/srv/b", "/var/nomad/alloc/1/web", "data/b", 0 },
    };
    wish.devices = &device;
    wish.device_count = 1;
    wish.mounts = mounts;
    wish.mount_count = 2;
    make(&wish);
    const struct isolation_mount *node = mount_at("/dev", "vm0");
    cr_assert_not_null(node);
    cr_expect_str_eq(node->source, "/dev/kvm");
    cr_expect_not(node->flags & ISOLATION_NODEV);
    cr_expect_eq(access_to("/dev/vm0"), ISOLATION_READ | ISOLATION_DEVICE);
    cr_expect_not(access_to("/var/nomad/alloc/1/web/data") & ISOLATION_WRITE);
    cr_expect(access_to("/var/nomad/alloc/1/web/data/b") & ISOLATION_WRITE);
    cr_expect(mount_at("/var/nomad/alloc/1/web", "data")->flags & ISOLATION_NODEV);
}

Test(draft, a_limit_on_cores_is_what_allows_them)
{
    struct isolation_wish wish = everything();
    const struct isolation_limit core = { RLIMIT_CORE, 9, 9 };
    make(&wish);
    cr_expect_not(draft.plan.flags & ISOLATION_CORE_DUMPS);
    wish.limits = &core;
    wish.limit_count = 1;
    make(&wish);
    cr_expect(draft.plan.flags & ISOLATION_CORE_DUMPS);
    cr_expect_eq(draft.plan.limit_count, 1);
}

Test(draft, more_than_fits_is_refused)
{
    struct isolation_wish wish = everything();
    struct isolation_wish_mount *many = mem_array(ISOLATION_MOUNTS_MAX, sizeof(*many));
    for (size_t i = 0; i < ISOLATION_MOUNTS_MAX; i++)
        many[i] = (struct isolation_wish_mount){ "/srv", wish.task_dir, "data", 0 };
    wish.mounts = many;
    wish.mount_count = ISOLATION_MOUNTS_MAX;
    cr_expect_not(try(&wish));
    cr_expect_eq(err.kind, ERR_INVALID);
    free(many);
}

#define ITEM(path)           buf_put_fmt(out, " `%s`", path);
#define LINK(name, target)   buf_put_fmt(out, " `%s`", name);
#define CAP(number, name, d) buf_put_str(out, d ? " `" #name "`" : "");

static void put_page(struct buf *out)
{
    buf_put_str(out,
                "# What surrounds an agent\n\n"
                "Made from the tables in `driver/isolation/`; a test compares. How it works is "
                "in `driver/isolation/DESIGN.md`,\nthe keys are in `driver-config.md`.\n\n"
                "## Files\n\nTo read and execute, where they exist:");
    ISOLATION_SYSTEM(ITEM)
    buf_put_str(out, ", the task directory, the program itself, `read_paths`.\n"
                     "To write: `local/` and `tmp/` of the task, the shared `alloc/`, the state's "
                     "`path`, `/tmp`, `/var/tmp` and `/dev/shm` (its own), `write_paths`, mounts.\n"
                     "`secrets/` is read-only for the agent; `private/`, other tasks, other "
                     "allocations and the driver's own directories are not there.\n\n"
                     "Devices in `/dev`:");
    ISOLATION_NODES(ITEM)
    ISOLATION_LINKS(LINK)
    buf_put_str(out,
                " `pts` `shm`, and those of the job's `device` blocks.\n"
                "No devices controller is used, of either version of cgroups. What protects: the "
                "host's `/dev` is not there; every other\nmount that an agent may write is "
                "`nodev`, so a node in it opens nothing; Landlock keeps it from writing "
                "elsewhere and from\nmounting; and only with `mknod`, which no agent has by "
                "default, can a node be made at all. A job that asks for `mknod`\nin `cap_add` "
                "without Landlock or without mounts is refused: it could open every device of "
                "the machine. The letters of\na `device` block (`r`, `w`) are kept by "
                "Landlock; `m` gives nothing.\n\nEmpty files:");
    ISOLATION_MASKED_FILES(ITEM)
    buf_put_str(out, "\nEmpty directories:");
    ISOLATION_MASKED_DIRS(ITEM)
    buf_put_str(out, "\nRead-only: `sys`");
    ISOLATION_READ_ONLY(ITEM)
    buf_put_str(out, "\n\n## Capabilities\n\nAn agent of root keeps:");
    ISOLATION_CAPABILITIES(CAP)
    buf_put_str(out, "\nAny other user has none, and of `cap_add` what the node allows.\n\n"
                     "## System calls\n\nAll are allowed but these:\n\n");
    isolation_filter_put_doc(out);
}

/* With UPDATE_DOCS=1 in the environment the page is written instead. */
Test(draft, the_reference_page_is_what_the_tables_say)
{
    CLEANUP(buf_fini) struct buf page = { 0 };
    CLEANUP(buf_fini) struct buf wanted = { 0 };
    CLEANUP(str_freep) char *path = str_copy(__FILE__);
    *strstr(path, "driver/isolation/") = '\0';
    CLEANUP(str_freep) char *file = str_format("%sdocs/isolation.md", path);
    put_page(&page);
    if (getenv("UPDATE_DOCS"))
        cr_assert(file_publish(AT_FDCWD, file, buf_view(&page), 0644, FILE_REPLACE, &err));
    cr_assert(file_read(AT_FDCWD, file, 1 << 20, &wanted, &err), "%s", err.msg);
    cr_assert(view_is_equal(buf_view(&page), buf_view(&wanted)), "run with UPDATE_DOCS=1");
}
