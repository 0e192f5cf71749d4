#include "driver/enter/tree.h"

#include "driver/enter/house_test.h"

Test(tree, nothing_is_made_where_the_agent_has_no_cgroup)
{
    struct err err = { 0 };
    struct enter_tree tree;
    cr_assert(enter_tree_open(&tree, "", "exec-test", &err));
    cr_expect_not(cgroup_is_open(&tree.own));
    cr_expect_not(enter_tree_has_oom(&tree));
    cr_expect(enter_tree_empty(&tree, 0, &err));
    enter_tree_close(&tree);
}

Test(tree, a_name_that_is_taken_is_refused)
{
    struct err err = { 0 };
    struct house house;
    struct enter_tree first, second;
    house_init(&house, CLONE_NEWUTS, true);
    cr_assert(enter_tree_open(&first, house.cgroup.path, "exec-test", &err), "%s", err.msg);
    cr_assert_not(enter_tree_open(&second, house.cgroup.path, "exec-test", &err));
    cr_expect_eq(err.kind, ERR_SYSTEM);
    enter_tree_close(&second);
    enter_tree_close(&first);
    house_fini(&house);
}

Test(tree, an_agent_without_its_cgroup_has_ended)
{
    struct err err = { 0 };
    struct enter_tree tree;
    char dir[CGROUP_PATH_MAX], path[CGROUP_PATH_MAX + 32];
    if (!cgroup_own(dir, &err))
        cr_skip_test("no cgroup v2 here");
    (void)snprintf(path, sizeof(path), "%s/no-such-cgroup", dir);
    cr_assert_not(enter_tree_open(&tree, path, "exec-test", &err));
    cr_expect_eq(err.kind, ERR_NOT_FOUND, "%s", err.msg);
    enter_tree_close(&tree);
}
