#include "driver/isolation/caps.h"

#include <criterion/criterion.h>
#include <linux/capability.h>

#include "driver/isolation/plan.h"

static uint64_t parse(const char *name)
{
    struct err err = { 0 };
    uint64_t caps = 0;
    cr_assert(isolation_cap_parse(view_str(name), &caps, &err), "%s", err.msg);
    return caps;
}

Test(caps, have_the_kernels_numbers_in_every_spelling)
{
    cr_expect_eq(parse("chown"), 1ULL << CAP_CHOWN);
    cr_expect_eq(parse("CAP_SYS_ADMIN"), 1ULL << CAP_SYS_ADMIN);
    cr_expect_eq(parse("Net_Bind_Service"), 1ULL << CAP_NET_BIND_SERVICE);
    cr_expect_eq(parse("checkpoint_restore"), 1ULL << CAP_CHECKPOINT_RESTORE);
    cr_expect_eq(parse("all"), ISOLATION_CAPS_ALL);
}

Test(caps, an_unknown_name_is_refused_and_quoted)
{
    static const char *const names[] = { "", "cap_", "everything", "sys_admin ", "chow" };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct err err = { 0 };
        uint64_t caps = 0;
        cr_expect_not(isolation_cap_parse(view_str(names[i]), &caps, &err));
        cr_expect_eq(err.kind, ERR_INVALID);
    }
}

Test(caps, the_default_has_nothing_that_reaches_beyond_the_task)
{
    const uint64_t kept = isolation_caps_default();
    cr_expect_eq(kept & (1ULL << CAP_SYS_ADMIN | 1ULL << CAP_SYS_PTRACE | 1ULL << CAP_MKNOD |
                         1ULL << CAP_SYS_MODULE | 1ULL << CAP_NET_ADMIN | 1ULL << CAP_NET_RAW |
                         1ULL << CAP_DAC_READ_SEARCH | 1ULL << CAP_SYS_RAWIO | 1ULL << CAP_BPF),
                 0);
    cr_expect_neq(kept & 1ULL << CAP_CHOWN, 0);
}

Test(caps, the_lowest_one_gives_a_set_its_name)
{
    cr_expect_str_eq(isolation_cap_name(parse("sys_time") | parse("bpf")), "sys_time");
    cr_expect_str_eq(isolation_cap_name(0), "none");
}
