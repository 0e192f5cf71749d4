#include "sidecar/engine/scene_test.h"

#include <string.h>

/* Removed under an agent that writes nothing: no checkpoint would ever tell. And the final one is
 * not the empty tree of a directory that somebody mounted there. */
Test(state, directory_that_goes_away_is_told_and_never_saved_empty, .timeout = 30)
{
    struct scene s = { .waits_for = HEALTH_STATE };
    struct err err = { 0 };
    cr_assert(make(&s, "*.tmp", &err), "%s", err.msg);
    state_open(s.state);
    loop_run(s.loop);
    CLEANUP(str_freep) char *dir = str_format("%s/state", s.root);
    CLEANUP(str_freep) char *away = str_format("%s/away", s.root);
    cr_assert_eq(rename(dir, away), 0);
    loop_run(s.loop);
    cr_assert_not_null(strstr(s.troubles[HEALTH_STATE], "is gone"), "%s", s.troubles[HEALTH_STATE]);
    cr_assert_str_eq(s.troubles[HEALTH_PACKS], "");
    saver_once(state_borrow_saver(s.state), "stop", deadline_after(boot_now(), 100, 0));
    while (s.onces == 0)
        loop_run(s.loop);
    cr_assert(s.kind == ERR_UNAVAILABLE && s.committed == 0);
    cr_assert_eq(rename(away, dir), 0);
    loop_run(s.loop);
    cr_assert_str_eq(s.troubles[HEALTH_STATE], "", "well again");
    end(&s);
}
