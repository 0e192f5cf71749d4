/* checkpoint_bench - times the checkpoint engine on a tree, for tests/bench/checkpoint.
 *
 *   checkpoint_bench make DIR            a mixed tree: 2,000 files, 134 MB
 *   checkpoint_bench time DIR WORK       first, unchanged, appended, paused, restore: JSON
 *
 * The store is WORK/store, the restored tree WORK/out. */
#include "common/base/fd.h"
#include "common/base/file.h"
#include "common/base/own.h"
#include "common/secret/secret.h"
#include "sidecar/checkpoint/checkpoint.h"
#include "sidecar/checkpoint/verify.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define JSONL_FILES  700
#define JSONL_BYTES  65000
#define LOG_BYTES    10000000
#define PAGED_FILES  20
#define PAGED_BYTES  1000000
#define TEXT_FILES   1000
#define TEXT_BYTES   6000
#define RANDOM_FILES 279
#define RANDOM_BYTES 190000
#define ROUNDS       40

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static const char *const words[] = { "agent", "step",   "tool",  "result", "query", "document",
                                     "index", "answer", "token", "memory", "plan",  "write",
                                     "error", "retry",  "true",  "node" };

/* Lines as a transcript has them: about four to one for zstd. */
static void fill_lines(uint8_t *out, size_t len, uint64_t *random)
{
    size_t at = 0;
    while (at < len) {
        char line[512];
        int size = snprintf(line, sizeof(line),
                            "{\"id\":\"%016" PRIx64 "\",\"role\":\"%s\",\"text\":\"",
                            next_random(random), words[next_random(random) % COUNT(words)]);
        for (int i = 0; i < 24; i++)
            size += snprintf(line + size, sizeof(line) - (size_t)size, "%s%" PRIu64 " ",
                             words[next_random(random) % COUNT(words)], next_random(random) % 1000);
        size += snprintf(line + size, sizeof(line) - (size_t)size, "\"}\n");
        size_t take = (size_t)size < len - at ? (size_t)size : len - at;
        memcpy(out + at, line, take);
        at += take;
    }
}

static void fill_random(uint8_t *out, size_t len, uint64_t *random)
{
    for (size_t i = 0; i + 8 <= len; i += 8) {
        uint64_t word = next_random(random);
        memcpy(out + i, &word, 8);
    }
}

static void fill_pages(uint8_t *out, size_t len, uint64_t *random)
{
    fill_lines(out, len, random);
    memcpy(out, "SQLite format 3", 16);
    for (size_t i = 0; i + 4096 <= len; i += 4096)
        memset(out + i + 3000, 0, 1000);
}

struct kind {
    const char *name;
    size_t files, bytes;
    void (*fill)(uint8_t *, size_t, uint64_t *);
};

static bool make_file(const char *dir, const struct kind *kind, size_t number, struct err *err)
{
    uint64_t random = (uint64_t)number * 0x9e3779b97f4a7c15u + (uint64_t)kind->name[0] + 1;
    CLEANUP(str_freep) char *folder = str_format("%s/%s/%02zu", dir, kind->name, number % 30);
    CLEANUP(str_freep) char *path = str_format("%s/%05zu.%s", folder, number, kind->name);
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    kind->fill(buf_reserve(&bytes, kind->bytes), kind->bytes, &random);
    bytes.len = kind->bytes;
    if (!dir_make(folder, 0755, err))
        return false;
    CLEANUP(fd_closep)
    struct fd fd = { open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) };
    if (fd.raw < 0)
        return err_sys(err, errno, "create \"%s\"", path);
    return fd_write_all(fd.raw, bytes.data, bytes.len, err);
}

static bool make_tree(const char *dir, struct err *err)
{
    static const struct kind kinds[] = { { "jsonl", JSONL_FILES, JSONL_BYTES, fill_lines },
                                         { "log", 1, LOG_BYTES, fill_lines },
                                         { "db", PAGED_FILES, PAGED_BYTES, fill_pages },
                                         { "txt", TEXT_FILES, TEXT_BYTES, fill_lines },
                                         { "bin", RANDOM_FILES, RANDOM_BYTES, fill_random } };
    for (size_t i = 0; i < COUNT(kinds); i++)
        for (size_t j = 0; j < kinds[i].files; j++)
            if (!make_file(dir, &kinds[i], j, err))
                return false;
    return true;
}

struct bench {
    const char *dir, *work;
    struct store *store;
    struct agent_keys *keys;
    struct checkpoint *cp;
    struct checkpoint_result last;
    struct cut_ops cut; /* stands still by itself: nobody writes here */
};

static struct deadline soon(void) { return deadline_after(boot_now(), 120000, 0); }

static bool freeze_nobody(void *arg, int64_t max_ms, struct err *err)
{
    (void)arg, (void)max_ms, (void)err;
    return true;
}
static void thaw_nobody(void *arg) { (void)arg; }

/* Of one operation. */
struct cost {
    int64_t wall_us, cpu_us;
};

/* CPU time of this process, all threads: what the neighbours do not change. */
static int64_t cpu_us(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

static int compare_costs(const void *a, const void *b)
{
    const struct cost *x = a, *y = b;
    return (x->wall_us > y->wall_us) - (x->wall_us < y->wall_us);
}

/* The median and the least, with the CPU time of those. */
static void print_costs(const char *key, struct cost *costs, size_t count)
{
    qsort(costs, count, sizeof(costs[0]), compare_costs);
    printf("\"%s_us\":%" PRId64 ",\"%s_least_us\":%" PRId64 ",\"%s_cpu_us\":%" PRId64 ",", key,
           costs[count / 2].wall_us, key, costs[0].wall_us, key, costs[count / 2].cpu_us);
}

static bool take(struct bench *b, const struct cut_ops *cut, struct cost *out, struct err *err)
{
    struct checkpoint_request request = {
        .reason = "bench", .cut = cut, .may_trust_growth = true, .until = soon()
    };
    int64_t cpu = cpu_us();
    struct mono began = mono_now();
    if (!checkpoint_take(b->cp, &request, &b->last, err))
        return false;
    *out = (struct cost){ mono_diff_us(mono_now(), began), cpu_us() - cpu };
    if (b->last.is_changed)
        checkpoint_committed(b->cp);
    return true;
}

/* A number of KiB from a file of /proc. */
static long proc_kib(const char *path, const char *key)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    struct err ignored = { 0 };
    if (!file_read(AT_FDCWD, path, 8192, &text, &ignored))
        return -1;
    const char *at = strstr(buf_borrow_str(&text), key);
    return at == NULL ? -1 : strtol(at + strlen(key), NULL, 10);
}

static long private_dirty_kib(void)
{
    return proc_kib("/proc/self/smaps_rollup", "Private_Dirty:");
}

/* The highest RSS so far becomes the present one; the peak that follows is this program's. */
static long restart_peak(void)
{
    CLEANUP(fd_closep) struct fd fd = { open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC) };
    struct err ignored = { 0 };
    if (!fd_is_open(fd) || !fd_write_all(fd.raw, "5", 1, &ignored))
        return -1;
    return proc_kib("/proc/self/status", "VmHWM:");
}

static bool append_line(const struct bench *b, struct err *err)
{
    char line[201];
    memset(line, 'x', sizeof(line) - 1);
    line[199] = '\n';
    CLEANUP(str_freep) char *path = str_format("%s/log/00/00000.log", b->dir);
    CLEANUP(fd_closep) struct fd fd = { open(path, O_WRONLY | O_APPEND | O_CLOEXEC) };
    if (fd.raw < 0)
        return err_sys(err, errno, "open \"%s\"", path);
    return fd_write_all(fd.raw, line, 200, err);
}

/* Longer than a tick of files' times, and busy, so that caches stay warm. */
static void settle(void)
{
    struct boot end = boot_add_ms(boot_now(), 25);
    while (boot_now().ns < end.ns)
        ;
}

static bool time_appends(struct bench *b, const struct cut_ops *cut, const char *key,
                         struct err *err)
{
    struct cost times[ROUNDS];
    int64_t pause_us = 0;
    for (size_t i = 0; i < ROUNDS; i++) {
        settle();
        if (!append_line(b, err))
            return false;
        settle();
        if (!take(b, cut, &times[i], err))
            return false;
        pause_us = pause_us > b->last.pause_us ? pause_us : b->last.pause_us;
    }
    print_costs(key, times, ROUNDS);
    printf("\"%s_stored\":%" PRIu64 ",\"%s_worst_pause_us\":%" PRId64 ",", key,
           b->last.stored_bytes, key, pause_us);
    return true;
}

static bool time_all(struct bench *b, struct err *err)
{
    struct cost first, times[ROUNDS];
    long idle = private_dirty_kib();
    long idle_rss = restart_peak();
    if (!take(b, NULL, &first, err))
        return false;
    long peak_rss = proc_kib("/proc/self/status", "VmHWM:");
    printf("{\"first_us\":%" PRId64 ",\"first_cpu_us\":%" PRId64 ",\"stored\":%" PRIu64
           ",\"files\":%" PRIu64 ",\"bytes\":%" PRIu64
           ",\"dirty_before_kib\":%ld,\"dirty_after_kib\":%ld,"
           "\"peak_rss_kib\":%ld,\"idle_rss_kib\":%ld,",
           first.wall_us, first.cpu_us, b->last.stored_bytes, b->last.totals.files,
           b->last.totals.bytes, idle, private_dirty_kib(), peak_rss, idle_rss);
    if (!take(b, NULL, &first, err)) /* once more: what was too fresh to be believed */
        return false;
    for (size_t i = 0; i < ROUNDS; i++)
        if (!take(b, NULL, &times[i], err))
            return false;
    print_costs("unchanged", times, ROUNDS);
    for (size_t i = 0; i < ROUNDS;
         i++) { /* the floor of those below: caches as an interval leaves them */
        struct timespec settle = { .tv_nsec = 60000000 };
        (void)nanosleep(&settle, NULL);
        if (!take(b, NULL, &times[i], err))
            return false;
    }
    print_costs("paused", times, ROUNDS);
    if (!time_appends(b, NULL, "append", err) || !time_appends(b, &b->cut, "cut", err))
        return false;
    CLEANUP(str_freep) char *out = str_format("%s/out", b->work);
    struct checkpoint_source source = { b->store, "bench", b->keys, 0, NULL };
    struct restore_spec spec = { .id = b->last.id, .target = out, .until = soon() };
    struct restore_report report;
    int64_t cpu = cpu_us();
    if (!checkpoint_restore(&source, &spec, &report, err))
        return false;
    cpu = cpu_us() - cpu;
    struct verify_report verified;
    struct mono began = mono_now();
    if (!checkpoint_verify(&source, b->last.id, soon(), &verified, err))
        return false;
    printf("\"restore_us\":%" PRId64 ",\"restore_cpu_us\":%" PRId64 ",\"verify_us\":%" PRId64 "}\n",
           report.spent_us, cpu, mono_diff_us(mono_now(), began));
    return true;
}

static bool run(struct bench *b, struct err *err)
{
    CLEANUP(str_freep) char *url = str_format("file://%s/store?create=true", b->work);
    CLEANUP(secret_freep) struct secret *key = secret_random(32);
    b->keys = agent_keys_new(key);
    b->cut = (struct cut_ops){ freeze_nobody, thaw_nobody, NULL };
    if (!store_open(url, NULL, &b->store, err))
        return false;
    static const uint8_t wrapped_key[KEYRING_WRAPPED_BYTES]; /* of no key file */
    struct checkpoint_spec spec = { .source = { b->store, "bench", b->keys, 0, wrapped_key },
                                    .root = b->dir,
                                    .epoch = 1 };
    bool good = checkpoint_new(&spec, &b->cp, err) && time_all(b, err);
    checkpoint_free(b->cp);
    store_close(b->store);
    agent_keys_free(b->keys);
    return good;
}

int main(int argc, char **argv)
{
    struct err err = { 0 };
    bool good = false;
    if (argc == 3 && strcmp(argv[1], "make") == 0) {
        good = make_tree(argv[2], &err);
    } else if (argc == 4 && strcmp(argv[1], "time") == 0) {
        struct bench b = { .dir = argv[2], .work = argv[3] };
        good = run(&b, &err);
    } else {
        (void)err_set(&err, ERR_INVALID, "usage: checkpoint_bench make DIR | time DIR WORK");
    }
    if (!good)
        (void)fprintf(stderr, "checkpoint_bench: %s\n", err.msg);
    return err_exit_code(err.kind);
}
