#include "driver/exec/inside.h"

#include <criterion/criterion.h>

#include "common/base/own.h"
#include "driver/nomad/task_spec.h"

static struct task_spec *spec_new(const char *env, size_t len)
{
    struct task_spec *spec = mem_new(struct task_spec);
    spec->alloc_dir = str_copy("/alloc");
    spec->name = str_copy("web");
    buf_put(&spec->env, view_of(env, len));
    spec->env_count = 1;
    return spec;
}

Test(inside, is_put_together_from_record_and_specification)
{
    struct inside inside = { 0 };
    struct launch_inside record = { .is_known = true,
                                    .uid = 7,
                                    .gid = 8,
                                    .groups = { 4, 20 },
                                    .group_count = 2,
                                    .cwd = "/alloc/web",
                                    .agent_name = "a",
                                    .state_path = "/s",
                                    .isolation = { 1, 2 },
                                    .isolation_len = 2 };
    struct task_spec *spec = spec_new("A=1\0", 4);
    inside_take_launch(&inside, &record);
    inside_take_spec(&inside, spec);
    task_spec_free(spec);
    cr_expect(inside.is_known);
    cr_expect_eq(inside.group_count, 2);
    cr_expect_eq(inside.groups[1], 20);
    cr_expect_str_eq(inside.cwd, "/alloc/web");
    cr_expect_str_eq(inside.state_path, "/s");
    cr_expect(view_is_equal(buf_view(&inside.isolation), view_of("\1\2", 2)));
    cr_expect_str_eq(inside.task_dir, "/alloc/web");
    cr_expect_eq(inside.env_count, 1);
    cr_expect_str_eq((const char *)inside.env.data, "A=1");
    inside_fini(&inside);
    cr_expect_null(inside.task_dir);
}

Test(inside, the_newest_of_each_counts)
{
    struct inside inside = { 0 };
    const struct launch_inside old = { .is_known = false };
    const struct launch_inside record = { .is_known = true, .cwd = "/b" };
    inside_take_launch(&inside, &record);
    inside_take_launch(&inside, &old);
    cr_expect_not(inside.is_known);
    cr_expect_str_eq(inside.cwd, "");
    struct task_spec *first = spec_new("A=1\0", 4), *second = spec_new("B=2\0", 4);
    inside_take_spec(&inside, first);
    inside_take_spec(&inside, second);
    cr_expect_eq(first->env.len, 0, "taken");
    cr_expect_str_eq((const char *)inside.env.data, "B=2");
    task_spec_free(first);
    task_spec_free(second);
    inside_fini(&inside);
}
