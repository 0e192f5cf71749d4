#include "sidecar/store/file_packs.h"

#include "sidecar/store/disk_test.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static struct pack_writer *begin(struct store *store, const char *pack)
{
    struct pack_writer *w = NULL;
    struct err err = { 0 };
    cr_assert(store_pack_create(store, "a", pack, soon(), &w, &err), "%s", err.msg);
    return w;
}

static int count_temporaries(const struct disk *d)
{
    CLEANUP(str_freep) char *path = str_format("%s/agents/a/tmp", d->root);
    DIR *dir = opendir(path);
    int count = 0;
    for (struct dirent *at; dir != NULL && (at = readdir(dir)) != NULL;)
        count += at->d_name[0] != '.';
    if (dir != NULL)
        closedir(dir);
    return count;
}

Test(file_packs, full_disk_fails_with_its_errno_and_leaves_nothing)
{
    DISK(d);
    struct store_version version;
    struct err err = { 0 };
    struct rlimit old;
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    CLEANUP(str_freep) char *text = mem_array(5001, 1);
    memset(text, 'x', 5000);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 4096, old.rlim_max }), 0);
    struct pack_writer *w = begin(store, "p");
    bool good = pack_put(w, view_str(text), soon(), &err);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    expect_kind(good, &err, ERR_SYSTEM);
    cr_assert_eq(err.os_errno, EFBIG);
    pack_abandon(w);
    cr_assert_eq(count_temporaries(&d), 0);
    cr_assert_not(disk_has(&d, "agents/a/packs/p"));
    w = begin(store, "p"); /* after space has come back */
    cr_assert(pack_put(w, view_str(text), soon(), &err));
    cr_assert(pack_commit(&w, soon(), &err), "%s", err.msg);
}

Test(file_packs, commit_leaves_no_temporary)
{
    DISK(d);
    struct store_version version;
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    struct pack_writer *w = begin(store, "p");
    cr_assert_eq(count_temporaries(&d), 1);
    cr_assert(pack_commit(&w, soon(), &err), "%s", err.msg);
    cr_assert_eq(count_temporaries(&d), 0);
    w = begin(store, "p");
    expect_kind(pack_commit(&w, soon(), &err), &err, ERR_CONFLICT);
    cr_assert_eq(count_temporaries(&d), 0);
}

Test(file_packs, temporaries_of_killed_writers_are_removed_living_ones_stay)
{
    DISK(d);
    struct store_version version;
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    CLEANUP(store_closep) struct store *other = disk_open(&d, "");
    struct pack_writer *living = begin(store, "p");
    pid_t child = fork();
    if (child == 0) {
        (void)begin(other, "q");
        raise(SIGKILL);
    }
    waitpid(child, NULL, 0);
    cr_assert_eq(count_temporaries(&d), 2);
    struct pack_writer *third = begin(other, "r");
    cr_assert_eq(count_temporaries(&d), 2, "the dead one is gone");
    struct err err = { 0 };
    cr_assert(pack_commit(&living, soon(), &err), "%s", err.msg);
    pack_abandon(third);
    cr_assert(disk_has(&d, "agents/a/packs/p"));
}

Test(file_packs, commit_into_an_exchanged_store_is_unavailable)
{
    DISK(d);
    struct store_version version;
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    CLEANUP(str_freep) char *aside = str_format("%s/aside", d.dir);
    struct pack_writer *w = begin(store, "p");
    cr_assert_eq(rename(d.root, aside), 0);
    expect_kind(pack_commit(&w, soon(), &err), &err, ERR_UNAVAILABLE);
    CLEANUP(store_closep) struct store *fresh = disk_store(&d, &version);
    cr_assert_not_null(fresh);
    cr_assert_eq(dir_remove_tree(d.root, &err), true);
    cr_assert_eq(rename(aside, d.root), 0);
    cr_assert_not(disk_has(&d, "agents/a/packs/p"));
}

Test(file_packs, agent_directory_that_was_replaced_is_noticed)
{
    DISK(d);
    struct store_version version;
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    CLEANUP(str_freep) char *agent = str_format("%s/agents/a", d.root);
    CLEANUP(str_freep) char *aside = str_format("%s/aside", d.dir);
    struct pack_writer *w = begin(store, "p");
    cr_assert_eq(rename(agent, aside), 0);
    cr_assert(store_create(store, "a", view_str("x"), soon(), &version, &err));
    expect_kind(pack_commit(&w, soon(), &err), &err, ERR_UNAVAILABLE);
    cr_assert_not(disk_has(&d, "agents/a/packs/p"));
}

Test(file_packs, what_is_not_a_file_is_corrupt)
{
    DISK(d);
    struct store_version version;
    uint64_t size;
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    CLEANUP(str_freep) char *packs = str_format("%s/agents/a/packs/dir", d.root);
    cr_assert(dir_make(packs, 0700, &err));
    expect_kind(store_pack_size(store, "a", "dir", soon(), &size, &err), &err, ERR_CORRUPT);
    CLEANUP(str_freep) char *link = str_format("%s/agents/a/packs/link", d.root);
    cr_assert_eq(symlink("/etc/passwd", link), 0);
    expect_kind(store_pack_size(store, "a", "link", soon(), &size, &err), &err, ERR_DENIED);
}
