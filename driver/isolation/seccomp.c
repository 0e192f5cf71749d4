#include "driver/isolation/seccomp.h"

#include <asm/unistd.h>
#include <assert.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/own.h"
#include "driver/isolation/caps.h"
#include "driver/isolation/plan.h"
#include "driver/isolation/seccomp_rules.def"

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#error "seccomp_rules.def was not read for this machine"
#endif

#define DENY_PERM        (SECCOMP_RET_ERRNO | EPERM)
#define DENY_NOSYS       (SECCOMP_RET_ERRNO | ENOSYS)
#define DENY_AFNOSUPPORT (SECCOMP_RET_ERRNO | EAFNOSUPPORT)

enum { CAP_ALWAYS = 64 };
#define CAP_NUMBER(number, name, is_default) CAP_##name = (number),
enum { ISOLATION_CAPABILITIES(CAP_NUMBER) };

struct call_row {
    const char *name, *unless, *refusal, *why;
    uint32_t number, answer;
    unsigned cap;
};
#define CALL(call, cap, refusal, why) \
    { #call, #cap, #refusal, why, __NR_##call, DENY_##refusal, CAP_##cap },
static const struct call_row call_rows[] = {
    ISOLATION_CALLS(CALL)
#ifdef __x86_64__
        ISOLATION_OLD_CALLS(CALL)
#endif
            { "open_tree_attr", "sys_admin", "PERM", "mounts", ISOLATION_OPEN_TREE_ATTR, DENY_PERM,
              CAP_sys_admin },
};

enum argument_test { TEST_HAS, TEST_IS, TEST_NOT_IN };
#define LIST_ITEM(value) value,
static const uint32_t list_PERSONALITIES[] = { ISOLATION_PERSONALITIES(LIST_ITEM) };
static const uint32_t list_FAMILIES[] = { ISOLATION_FAMILIES(LIST_ITEM) };
struct argument_row {
    const char *name, *unless, *refusal, *why;
    uint32_t number, answer;
    unsigned cap, argument;
    enum argument_test test;
    uint32_t value; /* HAS, IS */
    const uint32_t *list;
    size_t list_count;
};
#define OF_HAS(value)    TEST_HAS, value, NULL, 0
#define OF_IS(value)     TEST_IS, value, NULL, 0
#define OF_NOT_IN(value) TEST_NOT_IN, 0, list_##value, COUNT(list_##value)
#define ARGUMENT(call, cap, argument, test, value, refusal, why)                \
    {                                                                           \
        #call,     #cap,     #refusal,        why, __NR_##call, DENY_##refusal, \
        CAP_##cap, argument, OF_##test(value)                                   \
    },
static const struct argument_row argument_rows[] = { ISOLATION_ARGUMENTS(ARGUMENT) };

/* From `start` on, up to the next range. An answer of 0 stands for the rules of arguments. */
struct range {
    uint32_t start, answer;
};
#define RANGES_MAX  (2 * (COUNT(call_rows) + COUNT(argument_rows)) + 2)
#define BY_ARGUMENT 0xffffffffU

struct filter {
    struct sock_filter code[ISOLATION_FILTER_MAX];
    size_t count;
    uint64_t caps;
};

static bool is_lifted(const struct filter *f, unsigned cap)
{
    return cap < CAP_ALWAYS && (f->caps >> cap & 1) != 0;
}

static size_t emit(struct filter *f, uint16_t code, uint32_t k)
{
    assert(f->count < ISOLATION_FILTER_MAX);
    f->code[f->count] = (struct sock_filter){ code, 0, 0, k };
    return f->count++;
}

static void emit_answer(struct filter *f, uint32_t answer)
{
    (void)emit(f, BPF_RET | BPF_K, answer);
}

/* ---- arguments ---- */

/* Falls through to the next instruction unless the test refuses. */
static void emit_test(struct filter *f, const struct argument_row *row)
{
    const uint32_t offset = (uint32_t)(offsetof(struct seccomp_data, args) + 8 * row->argument);
    (void)emit(f, BPF_LD | BPF_W | BPF_ABS, offset); /* low half: both machines are little-endian */
    const bool may_packet = row->list == list_FAMILIES && (f->caps >> CAP_net_raw & 1) != 0;
    const size_t skips = row->list_count + (may_packet ? 1 : 0);
    if (row->test != TEST_NOT_IN) {
        const uint16_t how = row->test == TEST_HAS ? BPF_JSET : BPF_JEQ;
        f->code[emit(f, BPF_JMP | how | BPF_K, row->value)].jf = 1;
    }
    for (size_t i = 0; i < skips; i++) {
        const uint32_t value = i < row->list_count ? row->list[i] : ISOLATION_PACKET;
        f->code[emit(f, BPF_JMP | BPF_JEQ | BPF_K, value)].jt = (uint8_t)(skips - i);
    }
    emit_answer(f, row->answer);
}

/* All the rules for one call; what none refuses is allowed. */
static void emit_arguments(struct filter *f, uint32_t number)
{
    for (size_t i = 0; i < COUNT(argument_rows); i++)
        if (argument_rows[i].number == number && !is_lifted(f, argument_rows[i].cap))
            emit_test(f, &argument_rows[i]);
    emit_answer(f, SECCOMP_RET_ALLOW);
}

/* ---- numbers ---- */

static int range_order(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

static size_t list_points(const struct filter *f, struct range *out)
{
    size_t count = 0;
    for (size_t i = 0; i < COUNT(call_rows); i++)
        if (!is_lifted(f, call_rows[i].cap))
            out[count++] = (struct range){ call_rows[i].number, call_rows[i].answer };
    for (size_t i = 0; i < COUNT(argument_rows); i++)
        if (i == 0 || argument_rows[i].number != argument_rows[i - 1].number)
            out[count++] = (struct range){ argument_rows[i].number, BY_ARGUMENT };
    qsort(out, count, sizeof(*out), range_order);
    return count;
}

static void add_range(struct range *ranges, size_t *count, struct range next)
{
    if (*count > 0 && ranges[*count - 1].start == next.start)
        (*count)--; /* the one before was empty */
    const bool is_same = *count > 0 && ranges[*count - 1].answer == next.answer &&
                         next.answer != BY_ARGUMENT;
    if (!is_same)
        ranges[(*count)++] = next;
}

static size_t cut(const struct filter *f, struct range *ranges)
{
    struct range points[COUNT(call_rows) + COUNT(argument_rows)];
    const size_t point_count = list_points(f, points);
    size_t count = 0;
    add_range(ranges, &count, (struct range){ 0, SECCOMP_RET_ALLOW });
    for (size_t i = 0; i < point_count; i++) {
        assert(i == 0 || points[i].start != points[i - 1].start);
        add_range(ranges, &count, points[i]);
        add_range(ranges, &count, (struct range){ points[i].start + 1, SECCOMP_RET_ALLOW });
    }
    add_range(ranges, &count, (struct range){ ISOLATION_CALL_LAST + 1, DENY_NOSYS });
    return count;
}

static void emit_ranges(struct filter *f, const struct range *ranges, size_t count)
{
    if (count == 1) {
        if (ranges[0].answer == BY_ARGUMENT)
            emit_arguments(f, ranges[0].start);
        else
            emit_answer(f, ranges[0].answer);
        return;
    }
    const size_t half = count / 2;
    const size_t jump = emit(f, BPF_JMP | BPF_JGE | BPF_K, ranges[half].start);
    emit_ranges(f, ranges, half);
    const size_t distance = f->count - jump - 1;
    assert(distance <= UINT8_MAX); /* a table twice as long would need a long jump */
    f->code[jump].jt = (uint8_t)distance;
    emit_ranges(f, ranges + half, count - half);
}

void isolation_filter_put(uint64_t caps, struct buf *out)
{
    struct filter f = { .caps = caps };
    struct range ranges[RANGES_MAX];
    (void)emit(&f, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    f.code[emit(&f, BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH)].jt = 1;
    emit_answer(&f, DENY_NOSYS); /* 32-bit calls have other numbers */
    (void)emit(&f, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    emit_ranges(&f, ranges, cut(&f, ranges));
    buf_put(out, view_of(f.code, f.count * sizeof(f.code[0])));
}

/* ---- for people ---- */

static void put_line(struct buf *out, const char *call, const char *unless, const char *refusal,
                     const char *why)
{
    const bool is_always = strcmp(unless, "ALWAYS") == 0;
    buf_put_fmt(out, "| `%s` | E%s | %s%s%s | %s |\n", call, refusal, is_always ? "" : "`",
                is_always ? "" : unless, is_always ? "" : "`", why);
}

void isolation_filter_put_doc(struct buf *out)
{
    buf_put_str(out,
                "| system call | answer | allowed with capability | why |\n|---|---|---|---|\n");
    for (size_t i = 0; i < COUNT(call_rows); i++)
        put_line(out, call_rows[i].name, call_rows[i].unless, call_rows[i].refusal,
                 call_rows[i].why);
    for (size_t i = 0; i < COUNT(argument_rows); i++)
        put_line(out, argument_rows[i].name, argument_rows[i].unless, argument_rows[i].refusal,
                 argument_rows[i].why);
    put_line(out, "any after 469", "ALWAYS", "NOSYS", "newer than this table");
    put_line(out, "any of 32-bit programs", "ALWAYS", "NOSYS", "their numbers differ");
}

bool isolation_can_filter(void)
{
    uint32_t action = SECCOMP_RET_ERRNO;
    return syscall(__NR_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}
