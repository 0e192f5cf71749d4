#include "driver/task/statedir.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/own.h"

static char root[] = "/tmp/statedir-XXXXXX";
static struct err err;
static struct user_ids user;

static void setup(void)
{
    cr_assert_not_null(mkdtemp(root));
    user = (struct user_ids){ .uid = geteuid() == 0 ? 65534 : geteuid(),
                              .gid = geteuid() == 0 ? 65534 : getegid() };
}

static void teardown(void) { cr_assert(dir_remove_tree(root, &err)); }

TestSuite(statedir, .init = setup, .fini = teardown);

static bool make(const char *path)
{
    CLEANUP(str_freep) char *full = str_format("%s/%s", root, path);
    return state_dir_make(root, full, &user, &err);
}

Test(statedir, makes_what_is_missing_for_the_user)
{
    struct stat st;
    cr_assert(make("local/./state//x/"), "%s", err.msg);
    CLEANUP(str_freep) char *made = str_format("%s/local/state/x", root);
    cr_assert_eq(stat(made, &st), 0);
    cr_assert_eq(st.st_uid, user.uid);
    cr_assert_eq(st.st_mode & 07777, 0700);
    cr_assert(make("local/state/x"), "%s", err.msg);
}

Test(statedir, follows_no_link_of_the_task)
{
    CLEANUP(str_freep) char *link = str_format("%s/local", root);
    cr_assert_eq(symlink("/tmp", link), 0);
    cr_assert_not(make("local/planted"));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_neq(access("/tmp/planted", F_OK), 0);
}

Test(statedir, does_not_climb_and_does_not_leave)
{
    cr_assert_not(make("../x"));
    cr_assert_not(state_dir_make(root, "/etc/x", &user, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}

Test(statedir, a_file_in_the_way_is_said)
{
    CLEANUP(str_freep) char *file = str_format("%s/f", root);
    cr_assert(file_publish(-100, file, view_str(""), 0600, FILE_EXCLUSIVE, &err));
    cr_assert_not(make("f/state"));
    cr_assert_eq(err.kind, ERR_INVALID);
}
