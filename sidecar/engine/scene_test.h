/* scene_test.h - for the tests of state.c: an agent's state with everything under it, and what it
 * told. */
#pragma once
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "common/base/file.h"
#include "common/base/own.h"
#include "sidecar/engine/claim.h"
#include "sidecar/engine/state.h"

/* A held lease over a store in memory, a shim that acknowledges; whole lives are in engine_test. */
struct scene {
    char root[32];
    struct loop *loop;
    struct sidecar_config *config;
    struct claim claim;
    struct port *port;
    struct fd shim;
    struct state *state;
    struct observe observe;
    bool is_held;
    unsigned opened, onces, idles, committed;
    enum local_found found;
    enum err_kind kind;
    char troubles[HEALTH_SOURCE_COUNT][240];
    enum health_source waits_for;
};

static inline void on_arm(void *arg, uint64_t seq, int64_t epoch, struct deadline deadline);
static inline void on_fence(void *arg, const char *why) { (void)arg, (void)why; }
static inline void on_waiting(void *arg, const struct lease_waiting *w) { (void)arg, (void)w; }
static inline void on_held(void *arg, const struct lease_held *held)
{
    struct scene *s = arg;
    (void)held;
    s->is_held = true;
    loop_quit(s->loop);
}
static inline void on_lost(void *arg, const struct err *err)
{
    (void)arg;
    cr_assert(false && err, "lost: %s", err->msg);
}
struct ack {
    struct scene *s;
    uint64_t seq;
};
static inline void acknowledge(void *arg)
{
    struct ack *ack = arg;
    lease_on_arm_ack(ack->s->claim.lease, ack->seq, true);
    free(ack);
}
static inline void on_arm(void *arg, uint64_t seq, int64_t epoch, struct deadline deadline)
{
    struct ack *ack = mem_new(struct ack);
    (void)epoch, (void)deadline;
    *ack = (struct ack){ arg, seq };
    loop_post(ack->s->loop, acknowledge, ack);
}

static inline void on_opened(void *arg, enum local_found found, const struct restore_report *report,
                             const struct err *err)
{
    struct scene *s = arg;
    (void)report;
    s->opened++;
    s->found = found;
    s->kind = err != NULL ? err->kind : ERR_NONE;
    loop_quit(s->loop);
}
static inline void on_committed(void *arg, const struct checkpoint_result *result, bool is_once)
{
    (void)result, (void)is_once;
    ((struct scene *)arg)->committed++;
}
static inline void on_health(void *arg, enum health_source source, const struct err *err)
{
    struct scene *s = arg;
    bool is_news = (err == NULL) != (s->troubles[source][0] == '\0');
    (void)snprintf(s->troubles[source], sizeof s->troubles[source], "%s",
                   err != NULL ? err->msg : "");
    if (is_news && source == s->waits_for)
        loop_quit(s->loop);
}
static inline void on_once(void *arg, const struct checkpoint_result *result, const struct err *err)
{
    struct scene *s = arg;
    (void)result;
    s->onces++;
    s->kind = err != NULL ? err->kind : ERR_NONE;
    loop_quit(s->loop);
}
static inline void on_idle(void *arg)
{
    struct scene *s = arg;
    s->idles++;
    loop_quit(s->loop);
}
static inline void on_stopped(void *arg) { loop_quit(((struct scene *)arg)->loop); }

static inline bool make(struct scene *s, const char *exclude, struct err *err)
{
    int ends[2];
    (void)snprintf(s->root, sizeof s->root, "/tmp/state-test-XXXXXX");
    cr_assert_not_null(mkdtemp(s->root));
    CLEANUP(str_freep)
    char *text = str_format(
        "name = \"a\"\nstate {\n  path = \"%s/state\"\n  store = \"mem:\"\n"
        "  key_file = \"%s/key\"\n  exclude = [\"%s\"]\n}\nlease {\n  ttl = \"2s\"\n}\n",
        s->root, s->root, exclude);
    cr_assert(config_load("test", view_str(text), NULL, &s->config, err), "%s", err->msg);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    s->loop = loop_new();
    s->shim.raw = ends[0];
    s->port = port_new(s->loop, (struct fd){ ends[1] }, &(struct port_events){ 0 });
    const struct claim_lease lease = { .loop = s->loop,
                                       .clock = &clock_system,
                                       .config = s->config,
                                       .node = "n",
                                       .shim = { on_arm, on_fence, s },
                                       .events = { on_waiting, on_held, on_lost, s } };
    CLEANUP(keyring_closep) struct keyring *key = NULL; /* a first start that has looked */
    cr_assert(keyring_open(s->config->state.key_file, true, &key, err) &&
                  claim_open(&s->claim, s->config, err) && claim_make_lease(&s->claim, &lease, err),
              "%s", err->msg);
    lease_start(s->claim.lease);
    loop_run(s->loop);
    cr_assert(s->is_held);
    const struct state_spec spec = { .loop = s->loop,
                                     .clock = &clock_system,
                                     .observe = &s->observe,
                                     .config = s->config,
                                     .packs = s->claim.packs,
                                     .watched = s->claim.watched,
                                     .lease = s->claim.lease,
                                     .port = s->port,
                                     .config_digest = s->claim.config_digest };
    const struct state_events events = { on_opened, on_committed, on_health, on_once, on_idle, s };
    return state_new(&spec, &events, &s->state, err);
}

static inline void end(struct scene *s)
{
    struct err err;
    err_set(&err, ERR_CONFLICT, "over");
    if (s->state != NULL) {
        state_stop(s->state, &err);
        loop_run(s->loop);
        cr_assert_eq(s->idles, 1);
    }
    lease_stop(s->claim.lease, on_stopped, s);
    loop_run(s->loop);
    state_free(s->state);
    claim_close(&s->claim);
    port_free(s->port);
    fd_closep(&s->shim);
    config_free(s->config);
    loop_free(s->loop);
    cr_assert(dir_remove_tree(s->root, &err), "%s", err.msg);
}
