#include "driver/isolation/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/own.h"
#include "driver/isolation/plan.h"

/* Numbers of the kernel's interface; distributions' headers lag behind it. */
#define CREATE_RULESET_VERSION 1U
#define RULE_PATH_BENEATH      1
#define SCOPE_ABSTRACT_UNIX    1U
#define SCOPE_SIGNAL           2U
enum {
    EXECUTE = 1 << 0,
    WRITE_FILE = 1 << 1,
    READ_FILE = 1 << 2,
    READ_DIR = 1 << 3,
    REMOVE_DIR = 1 << 4,
    REMOVE_FILE = 1 << 5,
    MAKE_DIR = 1 << 7,
    MAKE_REG = 1 << 8,
    MAKE_SOCK = 1 << 9,
    MAKE_FIFO = 1 << 10,
    MAKE_SYM = 1 << 12,
    REFER = 1 << 13,
    TRUNCATE = 1 << 14,
    IOCTL_DEV = 1 << 15
};
#define OF_FILES (EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV)

struct ruleset_attr {
    uint64_t handled_fs, handled_net, scoped;
};
struct path_attr {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed));

static const struct {
    uint8_t access;
    uint64_t rights; /* device nodes are never made: MAKE_CHAR, MAKE_BLOCK are in no row */
} rows[] = {
    { ISOLATION_READ, READ_FILE | READ_DIR },
    { ISOLATION_EXECUTE, EXECUTE },
    { ISOLATION_UPDATE, WRITE_FILE | TRUNCATE },
    { ISOLATION_WRITE, WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK |
                           MAKE_FIFO | MAKE_SYM | REFER | TRUNCATE },
    { ISOLATION_DEVICE, IOCTL_DEV },
};

uint32_t isolation_landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
    return abi > 0 ? (uint32_t)abi : 0;
}

uint64_t isolation_landlock_handled(uint32_t abi)
{
    static const uint64_t by_abi[] = { 0, 0x1fff, 0x3fff, 0x7fff, 0x7fff, 0xffff };
    return by_abi[abi < COUNT(by_abi) ? abi : COUNT(by_abi) - 1];
}

uint64_t isolation_landlock_rights(uint32_t abi, uint8_t access, bool is_dir)
{
    uint64_t rights = 0;
    for (size_t i = 0; i < COUNT(rows); i++)
        rights |= (access & rows[i].access) != 0 ? rows[i].rights : 0;
    return rights & isolation_landlock_handled(abi) & (is_dir ? ~0ULL : OF_FILES);
}

static int open_rule(const struct isolation_rule *rule)
{
    const bool may_follow = (rule->access & ISOLATION_FOLLOW) != 0;
    struct open_how how = { .flags = O_PATH | O_CLOEXEC,
                            .resolve = may_follow ? 0 : RESOLVE_NO_SYMLINKS };
    return (int)syscall(SYS_openat2, AT_FDCWD, rule->path, &how, sizeof(how));
}

static int add_rule(int ruleset, uint32_t abi, const struct isolation_rule *rule)
{
    struct stat st;
    int fd = open_rule(rule);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : errno;
    int error = fstat(fd, &st) != 0 ? errno : 0;
    const struct path_attr attr = {
        isolation_landlock_rights(abi, rule->access, S_ISDIR(st.st_mode)), fd
    };
    if (error == 0 && attr.allowed != 0 &&
        syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &attr, 0) != 0)
        error = errno;
    (void)close(fd);
    return error;
}

/* A PID namespace keeps signals inside already, and there a guest of the task may signal the agent,
 * which is in another domain. */
static struct ruleset_attr attr_of(const struct isolation_plan *plan)
{
    const bool host_pid = (plan->flags & ISOLATION_HOST_PID) != 0;
    return (struct ruleset_attr){ .handled_fs = isolation_landlock_handled(plan->landlock_abi),
                                  .scoped = SCOPE_ABSTRACT_UNIX | (host_pid ? SCOPE_SIGNAL : 0) };
}

int isolation_landlock_apply(const struct isolation_plan *plan, int *out_object)
{
    *out_object = -1;
    if (plan->landlock_abi == 0)
        return 0;
    const struct ruleset_attr attr = attr_of(plan);
    const size_t size = plan->landlock_abi >= 6 ? sizeof(attr) : sizeof(attr.handled_fs);
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    if (ruleset < 0)
        return errno;
    int error = 0;
    for (size_t i = 0; i < plan->rule_count && error == 0; i++) {
        error = add_rule(ruleset, plan->landlock_abi, &plan->rules[i]);
        *out_object = error != 0 ? (int)i : -1;
    }
    if (error == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
        error = errno;
    (void)close(ruleset);
    return error;
}
