#include "driver/surround/places.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/own.h"
#include "driver/nomad/plugin_config.h"

static char root[] = "/tmp/places-XXXXXX";
static struct plugin_config config;
static struct task_spec spec;
static struct task_mount mount;
static struct places places;
static struct err err;
static char *task_dir, *host_dir;

static void begin(void)
{
    cr_assert_not_null(mkdtemp(root));
    cr_assert(plugin_config_decode(view_of("", 0), &config, NULL, &err));
    spec.alloc_dir = str_format("%s/a/1", root);
    task_dir = str_format("%s/web", spec.alloc_dir);
    host_dir = str_format("%s/host", root);
    char *local = str_format("%s/local", task_dir),
         *shared = str_format("%s/alloc", spec.alloc_dir);
    cr_assert(dir_make(local, 0755, &err) && dir_make(shared, 0755, &err) &&
              dir_make(host_dir, 0755, &err));
    free(local);
    free(shared);
}

static void finish(void)
{
    places_fini(&places);
    plugin_config_fini(&config);
    cr_assert(dir_remove_tree(root, &err));
    str_list_fini(&spec.config.read_paths);
    str_list_fini(&spec.config.write_paths);
    free(spec.alloc_dir);
    free(task_dir);
    free(host_dir);
}
TestSuite(places, .init = begin, .fini = finish);

static bool find(void)
{
    places_fini(&places);
    return places_find(&spec, &config, task_dir, NULL, &places, &err);
}

static void refused(enum err_kind kind, const char *part)
{
    cr_expect_not(find(), "%s", part);
    cr_expect_eq(err.kind, kind, "%s", err.msg);
    cr_expect(strstr(err.msg, part), "%s", err.msg);
}

static void one_mount(const char *source, const char *target)
{
    static char private_word[] = "private";
    mount = (struct task_mount){ (char *)(uintptr_t)source, (char *)(uintptr_t)target, true,
                                 mount.propagation ? mount.propagation : private_word };
    spec.config.mounts.all = (struct config_items){ &mount, 1 };
}

static void allow(const char *path) { str_list_add(&config.allow_host_paths, view_str(path)); }

Test(places, a_mount_of_the_host_needs_the_nodes_word)
{
    one_mount(host_dir, "local/data");
    refused(ERR_DENIED, "allow_host_paths");
    allow(host_dir);
    cr_assert(find(), "%s", err.msg);
    cr_assert_eq(places.mount_count, 1);
    cr_expect_str_eq(places.mounts[0].source, host_dir);
    cr_expect_str_eq(places.mounts[0].root, task_dir);
    cr_expect_str_eq(places.mounts[0].target, "local/data");
    cr_expect_eq(places.mounts[0].flags,
                 ISOLATION_RDONLY | ISOLATION_RECURSIVE | ISOLATION_PRIVATE);
}

/* What an allowed directory holds may lead out of it. */
Test(places, a_link_is_judged_by_where_it_leads)
{
    CLEANUP(str_freep) char *link = str_format("%s/way-out", host_dir);
    cr_assert_eq(symlink("/etc", link), 0);
    allow(host_dir);
    one_mount(link, "local/data");
    refused(ERR_DENIED, "\"/etc\"");
    CLEANUP(str_freep) char *own = str_format("%s/local/way-out", task_dir);
    cr_assert_eq(symlink("/etc", own), 0);
    one_mount("local/way-out", "local/data");
    refused(ERR_DENIED, "\"/etc\"");
}

Test(places, a_target_stays_in_the_tasks_directories)
{
    static const char *const outside[] = { "/data", "/etc", "../x", "local/../../x", "/" };
    allow(host_dir);
    for (size_t i = 0; i < COUNT(outside); i++) {
        one_mount(host_dir, outside[i]);
        refused(ERR_INVALID, "mount.target");
    }
    one_mount(host_dir, task_dir);
    refused(ERR_INVALID, "mount.target");
    CLEANUP(str_freep) char *inside = str_format("%s/alloc/data/x", spec.alloc_dir);
    one_mount(host_dir, inside);
    cr_assert(find(), "%s", err.msg);
    cr_expect_str_eq(places.mounts[0].target, "data/x");
    cr_expect_str_eq(places.mounts[0].root, places.shared_dir);
}

Test(places, a_source_that_is_not_there_is_named)
{
    one_mount("/no/such/source", "local/x");
    refused(ERR_NOT_FOUND, "/no/such/source");
}

Test(places, propagation_to_the_host_needs_the_nodes_word)
{
    static char both[] = "bidirectional", down[] = "host-to-task", other[] = "sideways";
    allow(host_dir);
    mount.propagation = both;
    one_mount(host_dir, "local/x");
    refused(ERR_DENIED, "propagation");
    str_list_add(&config.allow_unconfined, view_str("propagation"));
    cr_assert(find(), "%s", err.msg);
    cr_expect(places.mounts[0].flags & ISOLATION_SHARED);
    mount.propagation = down;
    cr_assert(find());
    cr_expect_eq(places.mounts[0].flags & (ISOLATION_SHARED | ISOLATION_PRIVATE), 0);
    mount.propagation = other;
    refused(ERR_INVALID, "sideways");
}

Test(places, nomads_volumes_come_with_the_jobs_mounts_parents_first)
{
    static char empty[] = "", deep[] = "local/a/b", flat[] = "local/a", top[] = "alone";
    struct task_volume volumes[] = { { deep, host_dir, false, empty },
                                     { top, host_dir, true, empty } };
    spec.volumes = volumes;
    spec.volume_count = 2;
    one_mount("local", flat);
    cr_assert(find(), "%s", err.msg);
    cr_assert_eq(places.mount_count, 3);
    cr_expect_str_eq(places.mounts[0].target, "alone");
    cr_expect_str_eq(places.mounts[1].target, "local/a");
    cr_expect_str_eq(places.mounts[2].target, "local/a/b");
    cr_expect(places.mounts[0].flags & ISOLATION_RDONLY);
    static char outside[] = "/data";
    volumes[0].task_path = outside;
    refused(ERR_INVALID, "volume_mount.destination: \"/data\"");
    spec.volume_count = 0;
}

static void volume_to(const char *target)
{
    static struct task_volume volume;
    volume = (struct task_volume){ .task_path = str_copy(target),
                                   .host_path = str_copy(host_dir),
                                   .propagation = str_copy("") };
    spec.volumes = &volume;
    spec.volume_count = 1;
}

static void volume_away(void)
{
    free(spec.volumes->task_path);
    free(spec.volumes->host_path);
    free(spec.volumes->propagation);
    spec.volume_count = 0;
}

Test(places, a_volume_may_be_where_the_operator_has_made_place)
{
    if (access("/srv", F_OK) != 0)
        cr_skip_test("this machine has no /srv");
    volume_to("/srv/");
    cr_assert(find(), "%s", err.msg);
    cr_assert_eq(places.mount_count, 1);
    cr_expect_str_eq(places.mounts[0].root, "/");
    cr_expect_str_eq(places.mounts[0].target, "srv");
    volume_away();
}

Test(places, a_volume_is_in_nobodys_way)
{
    static const struct {
        const char *target, *part;
    } rows[] = {
        { "/", "is the system's" },          { "/etc", "is the system's" },
        { "/usr/local", "is the system's" }, { "/var", "is the system's" },
        { "/tmp", "made for each agent" },   { "/proc/self", "has symbolic links" },
        { "/dev/shm", "is the system's" },   { "/srv/no-such-place", "not on this machine" },
        { "/srv/../etc", "has a \"..\"" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (access(rows[i].target, F_OK) != 0 && !strstr(rows[i].target, "/srv/"))
            continue;
        volume_to(rows[i].target);
        refused(ERR_INVALID, rows[i].part);
        cr_expect(strstr(err.msg, "volume_mount.destination"), "%s", err.msg);
        volume_away();
    }
}

Test(places, devices_are_nodes_below_dev)
{
    static char null[] = "/dev/null", passwd[] = "/etc/passwd", there[] = "/dev/x", out[] = "/x",
                up[] = "/dev/../x", read_only[] = "r", empty[] = "";
    struct task_device device = { there, null, read_only };
    spec.devices = &device;
    spec.device_count = 1;
    cr_assert(find(), "%s", err.msg);
    cr_expect_str_eq(places.devices[0].source, "/dev/null");
    cr_expect_eq(places.devices[0].access, ISOLATION_READ | ISOLATION_DEVICE);
    device.permissions = empty;
    cr_assert(find());
    cr_expect(places.devices[0].access & ISOLATION_UPDATE);
    device.host_path = passwd;
    refused(ERR_INVALID, "is not a device");
    device = (struct task_device){ out, null, empty };
    refused(ERR_INVALID, "is not below /dev");
    device.task_path = up;
    refused(ERR_INVALID, "is not below /dev");
    spec.device_count = 0;
}

Test(places, reading_and_writing_are_asked_for_apart)
{
    CLEANUP(str_freep) char *read_only = str_format("%s:ro", host_dir);
    allow(read_only);
    str_list_add(&spec.config.read_paths, view_str(host_dir));
    cr_assert(find(), "%s", err.msg);
    cr_expect_eq(places.paths[0].access, ISOLATION_READ | ISOLATION_EXECUTE);
    str_list_add(&spec.config.write_paths, view_str("local"));
    cr_assert(find(), "%s", err.msg);
    cr_expect(places.paths[1].access & ISOLATION_WRITE);
    str_list_add(&spec.config.write_paths, view_str(host_dir));
    refused(ERR_DENIED, "write_paths");
}

Test(places, what_the_node_gives_to_all_may_be_absent)
{
    str_list_add(&config.read_paths, view_str("/no/such/place"));
    str_list_add(&config.read_paths, view_str("/usr"));
    cr_assert(find(), "%s", err.msg);
    cr_assert_eq(places.path_count, 1);
    cr_expect_str_eq(places.paths[0].path, "/usr");
}

Test(places, the_state_is_writable_below_the_canonical_directory)
{
    CLEANUP(str_freep) char *link = str_format("%s/linked", root);
    CLEANUP(str_freep) char *all = str_format("%s/a", root);
    cr_assert_eq(symlink(all, link), 0);
    char *before = spec.alloc_dir;
    spec.alloc_dir = str_format("%s/1", link);
    CLEANUP(str_freep) char *given = str_format("%s/web", spec.alloc_dir);
    CLEANUP(str_freep) char *state = str_format("%s/local/s", given);
    CLEANUP(str_freep) char *want = str_format("%s/local/s", task_dir);
    cr_assert(places_find(&spec, &config, given, state, &places, &err), "%s", err.msg);
    cr_expect_str_eq(places.paths[0].path, want);
    free(spec.alloc_dir);
    spec.alloc_dir = before;
}
