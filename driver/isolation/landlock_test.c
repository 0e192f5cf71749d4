#include "driver/isolation/landlock.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/own.h"
#include "driver/isolation/plan.h"

#define SEEN (ISOLATION_READ | ISOLATION_EXECUTE)

static struct isolation_plan plan;
static char dir[64], in[96], out[96];

/* <dir>/in is to be written, <dir>/out only to be read; the link leads from one to the other. */
static void prepare(void)
{
    char path[160];
    isolation_default(&plan);
    plan.landlock_abi = isolation_landlock_abi();
    if (plan.landlock_abi == 0)
        cr_skip_test("no Landlock here");
    (void)snprintf(dir, sizeof(dir), "/tmp/agent-landlock-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(in, sizeof(in), "%s/in", dir);
    (void)snprintf(out, sizeof(out), "%s/out", dir);
    (void)snprintf(path, sizeof(path), "%s/in/link", dir);
    cr_assert_eq(mkdir(in, 0755) | mkdir(out, 0755) | symlink(out, path), 0);
    (void)snprintf(path, sizeof(path), "%s/file", out);
    (void)close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
}

static void clean(void)
{
    static const char *const names[] = { "in/link", "in/new", "in/dir", "out/file", "in", "out" };
    char path[160];
    for (size_t i = 0; i < COUNT(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        (void)remove(path);
    }
    (void)rmdir(dir);
}

static void add(unsigned access, const char *path)
{
    plan.rules[plan.rule_count++] = (struct isolation_rule){ (uint8_t)access, path };
}

static int open_in(const char *where, const char *name, int flags)
{
    char path[160];
    (void)snprintf(path, sizeof(path), "%s/%s", where, name);
    int fd = open(path, flags | O_CLOEXEC, 0644);
    int kept_errno = errno;
    if (fd >= 0)
        (void)close(fd);
    errno = kept_errno;
    return fd;
}

static int in_child(int (*holds)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        int object = -1;
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
            isolation_landlock_apply(&plan, &object) != 0)
            _exit(50 + object);
        _exit(holds());
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    clean();
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int is_restricted(void)
{
    if (open_in(in, "new", O_CREAT | O_WRONLY) < 0)
        return 1;
    if (open_in(out, "file", O_RDONLY) < 0)
        return 2;
    if (open_in(out, "file", O_WRONLY) >= 0 || errno != EACCES)
        return 3;
    if (open_in(in, "link/file", O_WRONLY) >= 0 || errno != EACCES)
        return 4; /* where a link leads counts, not where it lies */
    if (open_in("/etc", "passwd", O_RDONLY) >= 0 || errno != EACCES)
        return 5;
    return mknod("/tmp/agent-landlock-node", S_IFCHR | 0600, 0x103) == 0 ? 6 : 0;
}

Test(landlock, allows_what_the_rules_allow_and_nothing_else)
{
    prepare();
    add(SEEN | ISOLATION_WRITE, in);
    add(SEEN, out);
    add(SEEN, "/no/such/place");
    cr_assert_eq(in_child(is_restricted), 0);
}

static int is_anything(void) { return 0; }

Test(landlock, a_link_in_the_place_of_a_directory_is_an_error)
{
    char link[96];
    prepare();
    (void)snprintf(link, sizeof(link), "%s/in/link", dir);
    add(SEEN, out);
    add(SEEN | ISOLATION_WRITE, link);
    cr_assert_eq(in_child(is_anything), 51, "and the rule is named");
}

Test(landlock, a_link_of_the_systems_own_is_followed)
{
    char link[96];
    prepare();
    (void)snprintf(link, sizeof(link), "%s/in/link", dir);
    add(SEEN | ISOLATION_FOLLOW, link);
    cr_assert_eq(in_child(is_anything), 0);
}

Test(landlock, without_an_abi_nothing_is_restricted)
{
    int object = 0;
    isolation_default(&plan);
    add(SEEN, "/usr");
    cr_expect_eq(isolation_landlock_apply(&plan, &object), 0);
    cr_expect_eq(open_in("/etc", "passwd", O_RDONLY) < 0, 0);
}

/* No right is asked of a kernel that does not know it. */
Test(landlock, the_rights_fit_every_abi)
{
    static const uint64_t known[] = { 0, 0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff, 0xffff, 0xffff };
    for (uint32_t abi = 0; abi < COUNT(known); abi++) {
        cr_expect_eq(isolation_landlock_handled(abi), known[abi]);
        for (unsigned access = 0; access <= ISOLATION_ACCESS_ALL; access++) {
            const uint64_t dirs = isolation_landlock_rights(abi, (uint8_t)access, true);
            const uint64_t files = isolation_landlock_rights(abi, (uint8_t)access, false);
            cr_expect_eq(dirs & ~known[abi], 0);
            cr_expect_eq(files & ~dirs, 0);
            cr_expect_eq(dirs & (1 << 6 | 1 << 11), 0, "no device node is ever made");
        }
    }
}
