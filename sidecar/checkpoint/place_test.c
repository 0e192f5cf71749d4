#include "sidecar/checkpoint/place.h"

#include "sidecar/checkpoint/fixture_test.h"

static struct fixture f;
static void begin(void) { fixture_begin(&f); }
static void end(void) { fixture_end(&f); }
TestSuite(place, .init = begin, .fini = end);

static size_t entries(void)
{
    CLEANUP(fd_closep) struct fd dir = { open(f.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    return fixture_count(dir.raw);
}

Test(place, stage_takes_the_place_of_the_target)
{
    struct place place;
    struct err err = { 0 };
    char left[512];
    fixture_write(&f, "old", "1", 1);
    CLEANUP(str_freep) char *slashes = str_format("%s//", f.state);
    cr_assert(place_open(slashes, false, &place, &err), "%s", err.msg);
    cr_assert_eq(mkdirat(place_borrow_fd(&place), "new", 0700), 0);
    cr_assert(place_swap(&place, NULL, &err), "%s", err.msg);
    cr_assert(place_remove_old(&place, left, sizeof(left), &err));
    place_fini(&place);
    CLEANUP(str_freep) char *new = str_format("%s/new", f.state);
    CLEANUP(str_freep) char *old = str_format("%s/old", f.state);
    cr_assert_eq(access(new, F_OK), 0);
    cr_assert_neq(access(old, F_OK), 0);
    cr_assert_eq(entries(), 1);
}

Test(place, abandoned_stage_is_removed_and_the_target_untouched)
{
    struct place place;
    struct err err = { 0 };
    fixture_write(&f, "old", "1", 1);
    cr_assert(place_open(f.state, false, &place, &err));
    cr_assert_eq(mkdirat(place_borrow_fd(&place), "half", 0700), 0);
    cr_assert_eq(entries(), 2);
    place_fini(&place);
    cr_assert_eq(entries(), 1);
    CLEANUP(str_freep) char *old = str_format("%s/old", f.state);
    cr_assert_eq(access(old, F_OK), 0);
}

Test(place, target_that_appears_meanwhile_is_not_overwritten)
{
    struct place place;
    struct err err = { 0 };
    cr_assert(place_open(f.out, true, &place, &err));
    cr_assert_eq(mkdir(f.out, 0700), 0);
    cr_assert_not(place_swap(&place, NULL, &err));
    cr_assert_eq(err.os_errno, EEXIST);
    place_fini(&place);
    cr_assert_eq(entries(), 2);
}

/* The parent belongs to the agent, which puts a link in its place between swap and removal. */
Test(place, old_tree_is_removed_where_it_was_not_where_its_path_leads)
{
    struct place place;
    struct err err = { 0 };
    char left[512];
    CLEANUP(str_freep) char *parent = str_format("%s/agents", f.dir);
    CLEANUP(str_freep) char *moved = str_format("%s/moved", f.dir);
    CLEANUP(str_freep) char *target = str_format("%s/state/old", parent);
    cr_assert(dir_make(target, 0700, &err), "%s", err.msg);
    CLEANUP(str_freep) char *state = str_format("%s/state", parent);
    cr_assert(place_open(state, false, &place, &err) && place_swap(&place, NULL, &err), "%s",
              err.msg);
    CLEANUP(str_freep) char *victim = str_format("%s/victim/%s/x", f.dir, place.stage_name);
    CLEANUP(str_freep) char *link = str_format("%s/victim", f.dir);
    cr_assert(dir_make(victim, 0700, &err));
    cr_assert(rename(parent, moved) == 0 && symlink(link, parent) == 0);
    cr_assert(place_remove_old(&place, left, sizeof(left), &err), "%s", err.msg);
    place_fini(&place);
    cr_assert_eq(access(victim, F_OK), 0);
    CLEANUP(str_freep) char *old = str_format("%s/state/old", moved);
    cr_assert_neq(access(old, F_OK), 0);
    cr_assert_eq(unlink(parent), 0);
}

Test(place, odd_targets_are_refused)
{
    static const char *const bad[] = { "", "/", ".", "..", "/tmp/..", "/dev/null" };
    struct err err = { 0 };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct place place;
        cr_assert_not(place_open(bad[i], false, &place, &err), "%s", bad[i]);
        cr_assert_eq(err.kind, ERR_INVALID, "%s: %s", bad[i], err.msg);
        place_fini(&place);
    }
    struct place place;
    cr_assert_not(place_open("/nowhere/at/all", false, &place, &err));
    cr_assert_eq(err.kind, ERR_SYSTEM);
    place_fini(&place);
}

Test(place, longest_names_work)
{
    char name[256];
    struct place place;
    struct err err = { 0 };
    memset(name, 'n', 255);
    name[255] = '\0';
    CLEANUP(str_freep) char *target = str_format("%s/%s", f.dir, name);
    cr_assert(place_open(target, false, &place, &err), "%s", err.msg);
    cr_assert(place_swap(&place, NULL, &err), "%s", err.msg);
    place_fini(&place);
    cr_assert_eq(access(target, F_OK), 0);
}

Test(place, room_is_checked_before_anything_is_written)
{
    struct place place;
    struct err err = { 0 };
    cr_assert(place_open(f.out, false, &place, &err));
    cr_assert(place_has_room(&place, 1000, &err));
    cr_assert_not(place_has_room(&place, UINT64_MAX / 2, &err));
    cr_assert_eq(err.os_errno, ENOSPC);
    place_fini(&place);
}

/* What nobody saved is never at a place that a killed restore, or the next one, would remove. */
Test(place, old_tree_that_is_to_be_kept_is_beside_the_target_before_it_is_replaced)
{
    struct place place;
    struct err err = { 0 };
    fixture_write(&f, "old", "1", 1);
    cr_assert(place_open(f.state, false, &place, &err), "%s", err.msg);
    cr_assert_eq(mkdirat(place_borrow_fd(&place), "new", 0700), 0);
    cr_assert(place_swap(&place, "kept", &err), "%s", err.msg);
    char left[512];
    cr_assert(place_remove_old(&place, left, sizeof(left), &err));
    place_fini(&place);
    CLEANUP(str_freep) char *new = str_format("%s/new", f.state);
    CLEANUP(str_freep) char *old = str_format("%s/kept/old", f.dir);
    cr_assert(access(new, F_OK) == 0 && access(old, F_OK) == 0);
    cr_assert_eq(entries(), 2);
}

Test(place, name_for_the_old_tree_that_is_taken_changes_nothing)
{
    struct place place;
    struct err err = { 0 };
    fixture_write(&f, "old", "1", 1);
    CLEANUP(str_freep) char *taken = str_format("%s/kept", f.dir);
    CLEANUP(str_freep) char *old = str_format("%s/old", f.state);
    cr_assert_eq(mkdir(taken, 0700), 0);
    cr_assert(place_open(f.state, false, &place, &err), "%s", err.msg);
    cr_assert_not(place_swap(&place, "kept", &err));
    cr_assert_eq(err.kind, ERR_CONFLICT);
    place_fini(&place);
    cr_assert_eq(access(old, F_OK), 0);
    cr_assert_eq(entries(), 2, "and no stage is left");
}

Test(place, old_tree_goes_back_when_the_new_one_cannot_be_put_in_place)
{
    struct place place;
    struct err err = { 0 };
    fixture_write(&f, "old", "1", 1);
    CLEANUP(str_freep) char *old = str_format("%s/old", f.state);
    cr_assert(place_open(f.state, false, &place, &err), "%s", err.msg);
    cr_assert_eq(unlinkat(place.parent.raw, place.stage_name, AT_REMOVEDIR), 0);
    cr_assert_not(place_swap(&place, "kept", &err));
    cr_assert_eq(err.os_errno, ENOENT, "%s", err.msg);
    place_fini(&place);
    cr_assert_eq(access(old, F_OK), 0);
    cr_assert_eq(entries(), 1);
}
