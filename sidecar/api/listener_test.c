#include "sidecar/api/listener.h"

#include "common/base/file.h"
#include "common/base/own.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char root[32];
static char path[256];

static void setup(void)
{
    (void)snprintf(root, sizeof root, "/tmp/listen-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    (void)snprintf(path, sizeof path, "%s/api", root);
}
static void teardown(void)
{
    struct err err;
    cr_assert(dir_remove_tree(root, &err), "%s", err.msg);
}
TestSuite(listener, .init = setup, .fini = teardown);

Test(listener, path_lengths_up_to_the_limit_work_and_longer_ones_say_so)
{
    static const size_t lengths[] = { 95, 107, 108, 200 };
    for (size_t i = 0; i < 4; i++) {
        struct fd fd = FD_NONE, client = FD_NONE;
        struct err err;
        size_t at = strlen(root);
        memset(path, 'a', lengths[i]);
        memcpy(path, root, at);
        path[at] = '/';
        path[lengths[i]] = '\0';
        bool fits = lengths[i] <= LISTENER_PATH_MAX;
        cr_assert_eq(listener_open(path, &fd, &err), fits, "%zu", lengths[i]);
        if (fits) {
            cr_assert(listener_connect(path, &client, &err), "%s", err.msg);
        } else {
            cr_assert_eq(err.kind, ERR_INVALID);
            cr_assert_not_null(strstr(err.msg, "107"));
            cr_assert_neq(access(path, F_OK), 0);
        }
        fd_closep(&fd);
        fd_closep(&client);
    }
}

Test(listener, socket_in_use_is_a_conflict_and_a_stale_one_is_replaced)
{
    struct fd first = FD_NONE, second = FD_NONE;
    struct err err;
    cr_assert(listener_open(path, &first, &err), "%s", err.msg);
    struct stat st;
    cr_assert(stat(path, &st) == 0 && (st.st_mode & 0777) == 0666);
    cr_assert_not(listener_open(path, &second, &err));
    cr_assert_eq(err.kind, ERR_CONFLICT);
    fd_closep(&first);
    cr_assert_not(listener_connect(path, &second, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    cr_assert(listener_open(path, &second, &err), "%s", err.msg);
    fd_closep(&second);
}

Test(listener, what_is_no_socket_is_kept)
{
    struct fd fd = FD_NONE;
    struct err err;
    cr_assert(file_publish(AT_FDCWD, path, view_str("mine"), 0600, FILE_REPLACE, &err));
    cr_assert_not(listener_open(path, &fd, &err));
    cr_assert_eq(err.kind, ERR_CONFLICT);
    cr_assert_eq(access(path, F_OK), 0);
    cr_assert_not(listener_open("relative", &fd, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    (void)snprintf(path, sizeof path, "%s/no/api", root);
    cr_assert_not(listener_open(path, &fd, &err));
    cr_assert_eq(err.kind, ERR_SYSTEM);
}

/* Who may rename in the directory may put a listener of its own there and answer barriers. */
Test(listener, directory_that_others_may_change_is_denied)
{
    static const struct {
        mode_t mode;
        bool is_theirs, is_fine;
    } rows[] = { { 0755, false, true },  { 0711, false, true },
                 { 01777, false, true }, /* as /tmp: nobody renames what is another's */
                 { 0777, false, false }, { 0775, false, false },
                 { 0755, true, false } };
    if (geteuid() != 0)
        cr_skip_test("needs root");
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fd fd = FD_NONE;
        struct err err = { 0 };
        cr_assert_eq(chmod(root, rows[i].mode), 0);
        cr_assert_eq(chown(root, rows[i].is_theirs ? 65534 : 0, 0), 0);
        cr_assert_eq(listener_open(path, &fd, &err), rows[i].is_fine, "%zu: %s", i, err.msg);
        cr_assert(rows[i].is_fine || err.kind == ERR_DENIED);
        cr_assert_eq(access(path, F_OK) == 0, rows[i].is_fine);
        fd_closep(&fd);
        (void)unlink(path);
    }
}
