/* hostile - an agent that tries to get out. tests/conformance/hostile_test.go runs it as a task.
 *
 *   hostile RECORDS SOCKETS DEVICE     tries everything in the table, a line each
 *   hostile who                        says its effective user
 *   hostile bomb                       forks for ever, in every process, deaf to signals
 *   hostile starve                     64 processes that only burn, deaf to signals
 *   hostile flood                      writes without end
 *
 * "<attack>: refused (<errno>)" or "<attack>: WORKED". RECORDS and SOCKETS are the driver's
 * directories, DEVICE is major:minor of a disk of the host. What only shows from outside (a dead or
 * stopped supervisor) is looked at by the test. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *records, *sockets, *device;

/* Each returns whether it worked; errno says why not. */

static bool open_for(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0600);
    return fd >= 0 && close(fd) == 0;
}

static bool has_bytes(const char *path)
{
    char byte;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, &byte, 1);
    int kept_errno = got == 0 ? ENODATA : errno;
    if (fd >= 0)
        (void)close(fd);
    errno = kept_errno;
    return got == 1;
}

static bool call(long number, long a, long b, long c, long d)
{
    return syscall(number, a, b, c, d, 0L, 0L) >= 0;
}

static bool ptrace_keeper(void)
{
    return ptrace(PTRACE_SEIZE, 1, NULL, NULL) == 0 || ptrace(PTRACE_ATTACH, 1, NULL, NULL) == 0;
}

static bool read_keeper_memory(void)
{
    char bytes[16];
    struct iovec local = { bytes, sizeof(bytes) }, remote = { (void *)0x400000, sizeof(bytes) };
    return process_vm_readv(1, &local, 1, &remote, 1, 0) > 0 || has_bytes("/proc/1/mem");
}

static bool steal_keeper_descriptor(void)
{
    int pidfd = (int)syscall(SYS_pidfd_open, 1, 0);
    return pidfd >= 0 && syscall(SYS_pidfd_getfd, pidfd, 0, 0) >= 0;
}

static bool read_keeper_environment(void) { return has_bytes("/proc/1/environ"); }
static bool leave_by_proc_root(void) { return open_for("/proc/1/root/etc/hostname", O_RDONLY); }
static bool leave_by_proc_cwd(void) { return open_for("/proc/1/cwd/.", O_RDONLY); }

static bool leave_by_setns(void)
{
    int fd = open("/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC);
    return fd >= 0 && setns(fd, CLONE_NEWNS) == 0;
}

static bool find_other_processes(void)
{
    char path[64];
    for (int pid = 2; pid < 70000; pid++) {
        (void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        char name[16] = "";
        ssize_t got = fd < 0 ? -1 : read(fd, name, sizeof(name) - 1);
        if (fd >= 0)
            (void)close(fd);
        if (got > 0 && strncmp(name, "hostile", 7) != 0)
            return true;
    }
    errno = ENOENT;
    return false;
}

static bool new_user_namespace(void)
{
    if (unshare(CLONE_NEWUSER) == 0)
        return true;
    pid_t pid = (pid_t)syscall(SYS_clone, (long)(CLONE_NEWUSER | SIGCHLD), 0L, 0L, 0L, 0L);
    if (pid == 0)
        _exit(0);
    return pid > 0;
}

static bool new_mount_namespace(void) { return unshare(CLONE_NEWNS) == 0; }
static bool mount_something(void) { return mount("tmpfs", "/tmp", "tmpfs", 0, NULL) == 0; }
static bool unmount_a_mask(void)
{
    return umount2("/proc/kcore", MNT_DETACH) == 0 || umount2("/dev", MNT_DETACH) == 0;
}
static bool remount_writable(void)
{
    return mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL) == 0;
}
static bool new_mount_api(void)
{
    return call(SYS_open_tree, AT_FDCWD, (long)"/", 1, 0) ||
           call(SYS_fsopen, (long)"tmpfs", 0, 0, 0);
}
static bool pivot(void) { return call(SYS_pivot_root, (long)"/tmp", (long)"/tmp", 0, 0); }

static bool chroot_and_climb(void)
{
    (void)mkdir("/tmp/jail", 0755);
    if (chroot("/tmp/jail") != 0)
        return false;
    for (int i = 0; i < 64; i++)
        (void)!chdir("..");
    (void)!chroot(".");
    return open_for(records, O_RDONLY | O_DIRECTORY); /* what is hidden stays hidden */
}

static bool file_by_handle(void)
{
    struct {
        struct file_handle head;
        char bytes[128];
    } handle = { .head = { .handle_bytes = 8, .handle_type = 1 } };
    uint32_t root_inode[2] = { 2, 0 };
    memcpy(handle.head.f_handle, root_inode, sizeof(root_inode));
    int at = open("/tmp", O_RDONLY | O_CLOEXEC);
    return open_by_handle_at(at, &handle.head, O_RDONLY | O_CLOEXEC) >= 0;
}

static bool node_of_a_disk(void)
{
    unsigned high = 0, low = 0;
    if (sscanf(device, "%u:%u", &high, &low) != 2)
        return true;
    (void)unlink("/tmp/disk");
    if (mknod("/tmp/disk", S_IFBLK | 0600, makedev(high, low)) != 0)
        return false;
    return open_for("/tmp/disk", O_RDONLY);
}

static bool memory_of_the_machine(void)
{
    return open_for("/dev/mem", O_RDONLY) || open_for("/dev/kmsg", O_RDONLY) ||
           has_bytes("/proc/kcore");
}

static bool make_a_file_in(const char *dir)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/evil", dir);
    return open_for(path, O_CREAT | O_WRONLY);
}

static bool write_beside_the_record(void) { return make_a_file_in(records); }
static bool write_beside_the_socket(void) { return make_a_file_in(sockets); }
static bool change_the_system(void) { return make_a_file_in("/usr/bin") || make_a_file_in("/etc"); }
static bool core_pattern(void) { return open_for("/proc/sys/kernel/core_pattern", O_WRONLY); }
static bool sysrq(void)
{
    int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, "h", 1) == 1;
}

static bool leave_the_cgroup(void)
{
    static const char *const files[] = { "/sys/fs/cgroup/cgroup.procs",
                                         "/sys/fs/cgroup/unified/cgroup.procs",
                                         "/sys/fs/cgroup/memory/cgroup.procs",
                                         "/sys/fs/cgroup/memory/release_agent" };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (open_for(files[i], O_WRONLY))
            return true;
    return mkdir("/sys/fs/cgroup/unified/evil", 0755) == 0;
}

static bool keyrings(void)
{
    return call(SYS_add_key, (long)"user", (long)"k", (long)"v", 1) ||
           call(SYS_keyctl, 0, -3, 1, 0) || call(SYS_request_key, (long)"user", (long)"k", 0, 0);
}

static bool load_bpf(void)
{
    char attr[128] = { 2 };
    return call(SYS_bpf, 0, (long)attr, sizeof(attr), 0);
}

static bool perf(void)
{
    struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof(attr) };
    return call(SYS_perf_event_open, (long)&attr, 0, -1, -1);
}

static bool page_faults(void) { return call(SYS_userfaultfd, O_CLOEXEC, 0, 0, 0); }
static bool io_uring(void)
{
    char params[128] = "";
    return call(SYS_io_uring_setup, 1, (long)params, 0, 0);
}
static bool kernel_modules(void) { return call(SYS_init_module, (long)"x", 1, (long)"", 0); }
static bool another_kernel(void) { return call(SYS_kexec_load, 0, 0, 0, 0); }
static bool the_clock(void)
{
    struct timeval now;
    return gettimeofday(&now, NULL) == 0 && settimeofday(&now, NULL) == 0;
}
static bool the_kernels_log(void) { return call(SYS_syslog, 10, 0, 0, 0); }
static bool the_hosts_name(void) { return sethostname("evil", 4) == 0; }
static bool no_randomisation(void) { return call(SYS_personality, 0x0040000, 0, 0, 0); }

static bool odd_sockets(void)
{
    static const int families[] = { 16 + 22, 40, 17, 29, 30 }; /* ALG, VSOCK, PACKET, CAN, TIPC */
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        if (socket(families[i], SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0 ||
            socket(families[i], SOCK_SEQPACKET | SOCK_CLOEXEC, 0) >= 0)
            return true;
    return false;
}

static bool type_into_a_terminal(void)
{
    char key = 'x';
    int fd = open("/dev/ptmx", O_RDWR | O_CLOEXEC | O_NOCTTY);
    return ioctl(fd < 0 ? 0 : fd, TIOCSTI, &key) == 0;
}

static bool speak_to_the_shim(void)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    (void)snprintf(at.sun_path, sizeof(at.sun_path), "%.60s/%s.sock", sockets,
                   getenv("HOSTILE_KEY") ? getenv("HOSTILE_KEY") : "x");
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    return connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0;
}

/* To somebody outside who waits for it on an abstract name, which no directory guards. */
static bool pass_a_descriptor_out(void)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    const char *name = getenv("HOSTILE_ABSTRACT");
    if (name == NULL)
        return false;
    const int len = snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "%s", name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (struct sockaddr *)&at, (socklen_t)(sizeof(at.sun_family) + 1 + len)) == 0;
}

static bool regain_privileges(void) { return getuid() != 0 && (setuid(0) == 0 || setgid(0) == 0); }

#define ATTACKS(X)             \
    X(ptrace_keeper)           \
    X(read_keeper_memory)      \
    X(steal_keeper_descriptor) \
    X(read_keeper_environment) \
    X(leave_by_proc_root)      \
    X(leave_by_proc_cwd)       \
    X(leave_by_setns)          \
    X(find_other_processes)    \
    X(new_user_namespace)      \
    X(new_mount_namespace)     \
    X(mount_something)         \
    X(unmount_a_mask)          \
    X(remount_writable)        \
    X(new_mount_api)           \
    X(pivot)                   \
    X(file_by_handle)          \
    X(node_of_a_disk)          \
    X(memory_of_the_machine)   \
    X(write_beside_the_record) \
    X(write_beside_the_socket) \
    X(change_the_system)       \
    X(core_pattern)            \
    X(sysrq)                   \
    X(leave_the_cgroup)        \
    X(keyrings)                \
    X(load_bpf)                \
    X(perf)                    \
    X(page_faults)             \
    X(io_uring)                \
    X(kernel_modules)          \
    X(another_kernel)          \
    X(the_clock)               \
    X(the_kernels_log)         \
    X(the_hosts_name)          \
    X(no_randomisation)        \
    X(odd_sockets)             \
    X(type_into_a_terminal)    \
    X(speak_to_the_shim)       \
    X(pass_a_descriptor_out)   \
    X(regain_privileges)       \
    X(chroot_and_climb)

#define ATTACK(name) { #name, name },
static const struct {
    const char *name;
    bool (*run)(void);
} attacks[] = { ATTACKS(ATTACK) };

/* No effect is to be seen here: the test looks for the supervisors. */
static void shoot_around(void)
{
    static const int signals[] = { SIGSTOP, SIGKILL, SIGTERM };
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        for (pid_t pid = 0; pid < 70000; pid++)
            if (pid != getpid() && pid != 0)
                (void)kill(pid, signals[i]);
    if (getppid() > 0) /* 0: the parent is outside of our PID namespace */
        (void)kill(getppid(), SIGSTOP);
}

/* Children of the shim's, sessions of their own, orphans: all must be gone after a stop. */
static void leave_processes(void)
{
    static const long flags[] = { CLONE_PARENT | SIGCHLD, CLONE_PARENT, SIGCHLD, 0 };
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (syscall(SYS_clone, flags[i], 0L, 0L, 0L, 0L) != 0)
            continue;
        (void)setsid();
        for (int signo = 1; signo < 32; signo++)
            (void)signal(signo, SIG_IGN);
        if (fork() == 0)
            (void)setsid();
        for (;;)
            (void)sleep(1000);
    }
}

static void be_deaf(void)
{
    for (int signo = 1; signo < 32; signo++)
        (void)signal(signo, SIG_IGN);
}

static int bomb(void)
{
    be_deaf();
    for (;;)
        (void)fork();
}

static int starve(void)
{
    be_deaf();
    for (int i = 0; i < 6; i++)
        (void)fork();
    for (volatile unsigned burnt = 0;; burnt++)
        continue;
}

static int flood(void)
{
    static char block[65536];
    be_deaf();
    memset(block, 'x', sizeof(block) - 1);
    block[sizeof(block) - 1] = '\n';
    for (;;)
        (void)!write(1, block, sizeof(block));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } sieges[] = { { "bomb", bomb }, { "starve", starve }, { "flood", flood } };
    for (size_t i = 0; argc == 2 && i < sizeof(sieges) / sizeof(sieges[0]); i++)
        if (strcmp(argv[1], sieges[i].name) == 0)
            return sieges[i].run();
    if (argc == 2 && strcmp(argv[1], "who") == 0)
        return printf("euid %d\n", (int)geteuid()) < 0;
    if (argc != 4)
        return 64;
    records = argv[1];
    sockets = argv[2];
    device = argv[3];
    for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
        errno = 0;
        if (attacks[i].run())
            (void)printf("%s: WORKED\n", attacks[i].name);
        else
            (void)printf("%s: refused (%s)\n", attacks[i].name, strerror(errno));
        (void)fflush(stdout);
    }
    shoot_around();
    leave_processes();
    (void)printf("done\n");
    (void)fflush(stdout);
    for (;;)
        (void)sleep(1000);
}
