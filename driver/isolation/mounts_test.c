#include "driver/isolation/mounts.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/own.h"
#include "driver/isolation/apply.h"

static struct isolation_plan plan;
static char dir[64], source[96], task[96];

static void write_file(const char *where, const char *name, const char *text)
{
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/%s", where, name);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
}

/* <dir>/source with a file, and <dir>/task to mount below. */
static void prepare(void)
{
    if (!isolation_can_mount())
        cr_skip_test("may not mount here");
    isolation_default(&plan);
    plan.mounts = ISOLATION_MOUNTS_OWN;
    (void)snprintf(dir, sizeof(dir), "/tmp/agent-mounts-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(source, sizeof(source), "%s/source", dir);
    (void)snprintf(task, sizeof(task), "%s/task", dir);
    cr_assert_eq(mkdir(source, 0755) | mkdir(task, 0755), 0);
    write_file(source, "file", "from the host");
    write_file(task, "own", "the task's");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static void clean(void)
{
    if (dir[0] != '\0')
        (void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
TestSuite(mounts, .fini = clean);

static void add(enum isolation_mount_kind kind, uint32_t flags, const char *from, const char *root,
                const char *target)
{
    plan.mount[plan.mount_count++] = (struct isolation_mount){ kind, flags, from, root, target };
}

static struct isolation_failure why;

/* 0: holds; 100 + n: claim n does not; 200 + object: that mount failed, `why` has the rest. */
static int in_child(int (*holds)(void))
{
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct isolation_failure got = { 0 };
        bool good = isolation_mounts_apply(&plan, false, &got);
        ssize_t sent = write(ends[1], &got, sizeof(got));
        _exit(sent < 0 ? 99 : good ? holds() : 200 + got.object);
    }
    int status = -1;
    cr_assert_eq(read(ends[0], &why, sizeof(why)), (ssize_t)sizeof(why));
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    (void)close(ends[0]);
    (void)close(ends[1]);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static const char *text_of(const char *where, const char *name)
{
    static char text[64];
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/%s", where, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        (void)close(fd);
    text[len > 0 ? len : 0] = '\0';
    return fd < 0 ? NULL : text;
}

static bool has_text(const char *where, const char *name, const char *want)
{
    const char *text = text_of(where, name);
    return text != NULL && strcmp(text, want) == 0;
}

static int can_write(const char *where, const char *name)
{
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/%s", where, name);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    int kept_errno = fd < 0 ? errno : 0;
    if (fd >= 0)
        (void)close(fd);
    return kept_errno;
}

static int sees_the_source(void)
{
    if (!has_text(task, "data/deep/file", "from the host"))
        return 101;
    return can_write(task, "data/deep/new") == EROFS ? 0 : 102;
}

Test(mounts, a_bind_lands_in_a_target_that_is_made_and_is_read_only)
{
    prepare();
    add(ISOLATION_BIND, ISOLATION_RDONLY | ISOLATION_MAKE, source, task, "data/deep");
    cr_assert_eq(in_child(sees_the_source), 0);
    cr_expect_not(text_of(task, "data/deep/file"), "nothing of it is seen outside");
}

static int sees_the_file(void) { return has_text(task, "conf/one", "from the host") ? 0 : 101; }

Test(mounts, a_file_lands_in_a_file)
{
    char file[160];
    prepare();
    (void)snprintf(file, sizeof(file), "%s/file", source);
    add(ISOLATION_BIND, ISOLATION_MAKE | ISOLATION_IS_FILE, file, task, "conf/one");
    cr_assert_eq(in_child(sees_the_file), 0);
}

/* The order of a cover and of what is brought back into it, its own source hidden by then. */
static int sees_only_the_task(void)
{
    if (text_of(source, "file") != NULL)
        return 101;
    if (!has_text(task, "own", "the task's"))
        return 102;
    if (can_write(dir, "new") != EROFS)
        return 103;
    return can_write(task, "new");
}

Test(mounts, a_cover_hides_all_but_what_is_brought_back)
{
    prepare();
    add(ISOLATION_COVER, 0, "", "/", dir + 1);
    add(ISOLATION_BIND, ISOLATION_MAKE, task, "/", task + 1);
    cr_assert_eq(in_child(sees_only_the_task), 0);
}

static int sees_text_and_nothing(void)
{
    if (!has_text(source, "file", "nameserver 10.0.0.1\n"))
        return 101;
    if (can_write(source, "file") != EROFS)
        return 102;
    return has_text(task, "own", "") ? 0 : 103;
}

Test(mounts, a_file_can_be_given_and_another_masked)
{
    prepare();
    add(ISOLATION_FILE, ISOLATION_NODEV, "nameserver 10.0.0.1\n", source, "file");
    add(ISOLATION_MASK_FILE, ISOLATION_RDONLY, "", task, "own");
    cr_assert_eq(in_child(sees_text_and_nothing), 0);
}

static int has_fresh_tmpfs_and_link(void)
{
    char link[16] = "", path[160];
    struct stat st;
    if (stat(task, &st) != 0 || (st.st_mode & 07777) != 01777 || can_write(task, "new") != 0)
        return 101;
    if (text_of(task, "own") != NULL)
        return 102;
    (void)snprintf(path, sizeof(path), "%s/fd", source);
    return readlink(path, link, sizeof(link) - 1) > 0 && strcmp(link, "/proc/self") == 0 ? 0 : 103;
}

Test(mounts, a_tmpfs_is_for_everybody_and_a_cover_can_have_links)
{
    prepare();
    add(ISOLATION_TMPFS, 0, "1m", "/", task + 1);
    add(ISOLATION_COVER, 0, "", "/", source + 1);
    add(ISOLATION_LINK, 0, "/proc/self", source, "fd");
    cr_assert_eq(in_child(has_fresh_tmpfs_and_link), 0);
}

static int never(void) { return 1; }

/* What a hostile task can leave behind for its next start. */
Test(mounts, a_link_in_a_targets_path_is_an_error_that_names_it)
{
    char link[160];
    prepare();
    (void)snprintf(link, sizeof(link), "%s/way", task);
    cr_assert_eq(symlink("/etc", link), 0);
    add(ISOLATION_BIND, 0, source, task, "");
    add(ISOLATION_BIND, ISOLATION_MAKE, source, task, "../../etc");
    plan.mount[0] = plan.mount[1];
    plan.mount_count = 1;
    cr_expect_eq(in_child(never), 200, "and \"..\" does not leave the root");
    cr_expect_eq(why.os_errno, EXDEV);
    plan.mount[0].target = "way/cron.d";
    cr_expect_eq(in_child(never), 200);
    cr_expect_eq(why.stage, ISOLATION_STAGE_MOUNT);
    cr_expect_eq(why.os_errno, ELOOP);
    plan.mount[0].target = "way";
    cr_expect_eq(in_child(never), 200);
    cr_expect_eq(why.os_errno, ELOOP);
    plan.mount[0].target = "own/deeper";
    cr_expect_eq(in_child(never), 200, "nor does a file become a directory");
    cr_expect_eq(why.os_errno, ENOTDIR);
}

Test(mounts, a_link_in_a_sources_path_is_an_error)
{
    char link[160];
    prepare();
    (void)snprintf(link, sizeof(link), "%s/elsewhere", dir);
    cr_assert_eq(symlink("/etc", link), 0);
    add(ISOLATION_BIND, ISOLATION_MAKE, link, task, "data");
    cr_expect_eq(in_child(never), 200);
    cr_expect_eq(why.stage, ISOLATION_STAGE_SOURCE);
    cr_expect_eq(why.os_errno, ELOOP);
}

static int is_whole(void) { return 0; }

Test(mounts, only_what_is_optional_may_be_absent)
{
    prepare();
    add(ISOLATION_BIND, ISOLATION_OPTIONAL, "/no/such/source", task, "data");
    add(ISOLATION_COVER, ISOLATION_OPTIONAL, "", task, "no/such/target");
    cr_expect_eq(in_child(is_whole), 0);
    plan.mount[0].flags = 0;
    cr_expect_eq(in_child(is_whole), 200);
    cr_expect_eq(why.stage, ISOLATION_STAGE_SOURCE);
    plan.mount[0].flags = ISOLATION_OPTIONAL;
    plan.mount[1].flags = 0;
    cr_expect_eq(in_child(is_whole), 201);
    cr_expect_eq(why.stage, ISOLATION_STAGE_MOUNT);
}

/* Everything that is seen must be there before: the scratch file system is gone afterwards. */
static int has_no_scratch(void)
{
    struct stat st;
    return stat("/proc/self/status", &st) == 0 && access("/proc/aa", F_OK) != 0 ? 0 : 101;
}

Test(mounts, the_scratch_file_system_is_not_seen)
{
    prepare();
    add(ISOLATION_COVER, 0, "", "/", task + 1);
    cr_expect_eq(in_child(has_no_scratch), 0);
}

static int has_host_mounts(void) { return has_text(source, "file", "from the host") ? 0 : 101; }

Test(mounts, a_plan_for_the_hosts_mounts_changes_nothing)
{
    prepare();
    add(ISOLATION_COVER, 0, "", "/", dir + 1);
    plan.mounts = ISOLATION_MOUNTS_HOST;
    cr_expect_eq(in_child(has_host_mounts), 0);
    plan.mounts = ISOLATION_MOUNTS_AUTO; /* no PID namespace: none of its own either */
    cr_expect_eq(in_child(has_host_mounts), 0);
}
