#include "sidecar/engine/news.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* What the shim hears, in order. The texts are a contract: tools read them (DESIGN.md). */
struct scene {
    struct loop *loop;
    struct fd shim;
    struct observe observe;
    struct news news;
    char heard[SHIM_TEXT_MAX + 1];
};

static void begin(struct scene *s)
{
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    s->loop = loop_new();
    s->shim.raw = ends[0];
    s->news = (struct news){
        .port = port_new(s->loop, (struct fd){ ends[1] }, &(struct port_events){ 0 }),
        .observe = &s->observe,
    };
}
static void end(struct scene *s)
{
    port_free(s->news.port);
    fd_closep(&s->shim);
    loop_free(s->loop);
}
static const char *heard(struct scene *s)
{
    uint8_t bytes[SHIM_MSG_MAX];
    struct shim_msg msg;
    struct err err;
    ssize_t got = recv(s->shim.raw, bytes, sizeof bytes, 0);
    if (got <= 0)
        return "";
    cr_assert(shim_msg_decode(view_of(bytes, (size_t)got), SHIM_SIDECAR_SENDS, &msg, &err));
    memcpy(s->heard, msg.event.text, sizeof s->heard);
    return s->heard;
}

Test(news, outage_is_told_when_it_begins_and_when_it_ends)
{
    struct scene s = { 0 };
    struct err err;
    begin(&s);
    err_set(&err, ERR_SYSTEM, "put pack: no space");
    news_trouble(&s.news, HEALTH_CHECKPOINT, &err);
    news_trouble(&s.news, HEALTH_CHECKPOINT, &err);
    cr_assert_str_eq(heard(&s), "degraded: put pack: no space");
    cr_assert_str_eq(heard(&s), "");
    cr_assert(s.observe.degraded == 1 && s.observe.outages == 1);
    news_clear(&s.news, HEALTH_CHECKPOINT);
    news_clear(&s.news, HEALTH_CHECKPOINT);
    cr_assert_str_eq(heard(&s), "recovered: checkpoints are committed");
    cr_assert_str_eq(heard(&s), "");
    cr_assert_eq(s.observe.degraded, 0);
    end(&s);
}

Test(news, standby_is_told_when_the_holder_changes)
{
    struct scene s = { 0 };
    begin(&s);
    news_standby(&s.news, "node-1", 3);
    news_standby(&s.news, "node-1", 3);
    cr_assert_str_eq(heard(&s), "standby: waiting for the lease held by node-1 (epoch 3)");
    cr_assert_str_eq(heard(&s), "");
    news_standby(&s.news, "node-1", 4);
    cr_assert_str_eq(heard(&s), "standby: waiting for the lease held by node-1 (epoch 4)");
    news_standby(&s.news, "node-2", 4);
    cr_assert_str_eq(heard(&s), "standby: waiting for the lease held by node-2 (epoch 4)");
    end(&s);
}

Test(news, of_the_commits_the_first_one_an_hour_and_the_final_are_told)
{
    struct scene s = { 0 };
    struct checkpoint_result result = { .id = "id" };
    unsigned told = 0;
    begin(&s);
    for (int i = 1; i <= 100; i++) {
        result.sequence = i;
        news_committed(&s.news, &result, false, (struct boot){ NS_PER_MS * i });
        if (heard(&s)[0] != '\0')
            told++;
    }
    cr_assert_eq(told, 1);
    result.sequence = 101;
    news_committed(&s.news, &result, true, (struct boot){ NS_PER_MS * 101 });
    cr_assert_str_eq(heard(&s), "final checkpoint id committed: sequence 101");
    result.sequence = 102;
    news_committed(&s.news, &result, false, (struct boot){ NS_PER_MS * (102 + NEWS_COMMIT_MS) });
    cr_assert_str_eq(heard(&s), "checkpoint id committed: sequence 102");
    end(&s);
}

Test(news, unsaved_trees_have_their_texts)
{
    struct scene s = { 0 };
    struct local_unsaved u = { .newest = "/x/state.unsaved-1", .why = "no space" };
    begin(&s);
    news_unsaved(&s.news, &u);
    cr_assert_str_eq(heard(&s), "", "there is none");
    u.count = 1;
    news_unsaved(&s.news, &u);
    cr_assert_str_eq(heard(&s), "unsaved state is still kept: /x/state.unsaved-1");
    u.count = 2;
    news_unsaved(&s.news, &u);
    cr_assert_str_eq(heard(&s), "unsaved state is still kept: /x/state.unsaved-1 and others");
    u.is_new = true;
    news_unsaved(&s.news, &u);
    cr_assert_str_eq(heard(&s), "unsaved state was kept: /x/state.unsaved-1: no space");
    end(&s);
}

Test(news, restore_and_ends_have_their_texts)
{
    struct scene s = { 0 };
    struct restore_report report = { .id = "id", .spent_us = 12345 };
    struct err err;
    begin(&s);
    err_set(&err, ERR_FENCED, "held by b");
    news_restored(&s.news, &report);
    cr_assert_str_eq(heard(&s), "restored checkpoint id in 12 ms");
    cr_assert(s.observe.restores == 1 && s.observe.restore_us == 12345);
    report.is_old_kept = true;
    (void)snprintf(report.left_behind, sizeof report.left_behind, "/x/.old");
    news_restored(&s.news, &report);
    (void)heard(&s);
    cr_assert_str_eq(heard(&s), "the replaced tree was kept: /x/.old");
    news_fenced(&s.news, &err);
    cr_assert_str_eq(heard(&s), "fenced: held by b");
    news_failed(&s.news, &err);
    cr_assert_str_eq(heard(&s), "failed: held by b");
    news_released(&s.news, 9, NULL);
    cr_assert_str_eq(heard(&s), "lease released: epoch 9");
    news_released(&s.news, 9, &err);
    cr_assert_str_eq(heard(&s), "lease not released: held by b");
    end(&s);
}
