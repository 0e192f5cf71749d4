#include "sidecar/engine/state.h"

#include "common/base/file.h"
#include "common/base/own.h"
#include "sidecar/engine/scene_test.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>

Test(state, first_start_is_fresh_and_its_final_checkpoint_is_the_head, .timeout = 20)
{
    struct scene s = { 0 };
    struct err err;
    cr_assert(make(&s, "*.tmp", &err), "%s", err.msg);
    cr_assert_str_eq(state_borrow_head(s.state), "");
    state_open(s.state);
    loop_run(s.loop);
    cr_assert(s.opened == 1 && s.kind == ERR_NONE && s.found == LOCAL_FRESH);
    CLEANUP(str_freep) char *file = str_format("%s/state/x", s.root);
    cr_assert(file_publish(AT_FDCWD, file, view_str("x"), 0600, FILE_REPLACE, &err));
    saver_once(state_borrow_saver(s.state), "stop", deadline_after(boot_now(), 10000, 0));
    loop_run(s.loop);
    cr_assert(s.onces == 1 && s.kind == ERR_NONE && s.committed == 1);
    cr_assert_str_neq(state_borrow_head(s.state), "");
    cr_assert_str_eq(lease_borrow_record(s.claim.lease)->head.id, state_borrow_head(s.state));
    end(&s);
}

Test(state, stop_while_opening_waits_for_the_worker, .timeout = 20)
{
    struct scene s = { 0 };
    struct err err;
    cr_assert(make(&s, "*.tmp", &err), "%s", err.msg);
    state_open(s.state);
    end(&s);
    cr_assert_eq(s.opened, 0, "what comes late is not told");
}

Test(state, pattern_that_cannot_be_understood_is_invalid, .timeout = 20)
{
    struct scene s = { 0 };
    struct err err = { 0 };
    cr_assert_not(make(&s, "/[", &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    end(&s);
}
