#include "sidecar/engine/engine.h"

#include "common/base/file.h"
#include "common/base/own.h"
#include "common/shimwire/msg.h"
#include "sidecar/store/store.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* Whole lives over a real file store in a directory of the test's own. The shim is played by the
 * test on the same loop: it acknowledges what it is told to and notes everything it hears. */

#define PATIENCE_MS 15000

static char root[40];

/* The store is made here: a life that made it would make it again where it has vanished. */
static void setup(void)
{
    struct err err;
    (void)snprintf(root, sizeof root, "/tmp/engine-test-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    CLEANUP(str_freep) char *url = str_format("file://%s/store?create=true", root);
    CLEANUP(store_closep) struct store *store = NULL;
    cr_assert(store_open(url, NULL, &store, &err) &&
                  store_probe(store, deadline_after(boot_now(), PATIENCE_MS, 0), &err),
              "%s", err.msg);
}
static void teardown(void)
{
    struct err err;
    cr_assert(dir_remove_tree(root, &err), "%s", err.msg);
}
TestSuite(engine, .init = setup, .fini = teardown, .timeout = 60);

struct life {
    struct loop *loop;
    struct engine *engine;
    struct sidecar_config *config;
    struct observe observe;
    char dir[96];
    struct fd shim;
    struct loop_watch *watch;
    char events[64][SHIM_TEXT_MAX + 1];
    unsigned event_count;
    unsigned gates, gate_refusals; /* asked; still to be refused by on_gate */
    bool refuses_gate, holds_started;
    char restored[SHIM_ID_MAX + 1];
    bool is_done, is_fenced;
    enum err_kind done_kind;
    unsigned ends;
    enum err_kind end_kind;
    unsigned wish_ok, wish_failed;
    char wish_id[PACK_ID_TEXT];
};

static void tell(struct life *l, struct shim_msg msg)
{
    uint8_t bytes[SHIM_MSG_MAX];
    size_t len = shim_msg_encode(&msg, bytes);
    (void)send(l->shim.raw, bytes, len, MSG_NOSIGNAL);
}

static void hear(struct life *l, const struct shim_msg *msg)
{
    struct shim_msg ack = { .type = SHIM_ARM_ACK, .seq = msg->seq, .reply.ok = true };
    struct shim_msg frozen = { .type = SHIM_FROZEN, .seq = msg->seq, .reply.ok = true };
    struct shim_msg started = { .type = SHIM_AGENT_STARTED, .started.pid = 4242 };
    if (msg->type == SHIM_EVENT && l->event_count < 64)
        memcpy(l->events[l->event_count++], msg->event.text, sizeof l->events[0]);
    if (msg->type == SHIM_ARM)
        tell(l, ack);
    if (msg->type == SHIM_FREEZE)
        tell(l, frozen);
    if (msg->type == SHIM_FENCE)
        l->is_fenced = true;
    if (msg->type == SHIM_GATE_OPEN) {
        l->gates++;
        memcpy(l->restored, msg->arm.restored, sizeof l->restored);
        ack.reply.ok = !l->refuses_gate;
        tell(l, ack);
        if (!l->refuses_gate && !l->holds_started)
            tell(l, started);
    }
    if (msg->type == SHIM_DONE) {
        l->is_done = true;
        l->done_kind = (enum err_kind)msg->done.kind;
    }
}

static void on_shim(void *arg, unsigned events)
{
    struct life *l = arg;
    uint8_t bytes[SHIM_MSG_MAX];
    (void)events;
    for (;;) {
        ssize_t got = recv(l->shim.raw, bytes, sizeof bytes, MSG_DONTWAIT);
        struct shim_msg msg;
        struct err err;
        if (got <= 0)
            break;
        cr_assert(shim_msg_decode(view_of(bytes, (size_t)got), SHIM_SIDECAR_SENDS, &msg, &err),
                  "%s", err.msg);
        hear(l, &msg);
    }
}

static void on_hello(void *arg, const char *api_path)
{
    (void)arg;
    cr_assert_str_eq(api_path, "/api");
}
static bool on_gate(void *arg, struct err *err)
{
    struct life *l = arg;
    if (l->gate_refusals == 0)
        return true;
    l->gate_refusals--;
    return err_set(err, ERR_CONFLICT, "listen: somebody else does");
}
static void on_end(void *arg, const struct err *why, bool is_dirty)
{
    struct life *l = arg;
    cr_assert_not(is_dirty);
    l->ends++;
    l->end_kind = why != NULL ? why->kind : ERR_NONE;
}
static void on_wish(void *arg, const struct wish_result *result, const struct err *err)
{
    struct life *l = arg;
    if (err != NULL)
        l->wish_failed++;
    else
        l->wish_ok++;
    if (result != NULL)
        (void)snprintf(l->wish_id, sizeof l->wish_id, "%s", result->id);
}

static void life_config(struct life *l, const char *node, const char *more)
{
    struct err err;
    CLEANUP(str_freep)
    char *text = str_format("name = \"test/agent\"\nnode = \"%s\"\n%s\nlease {\n  ttl = \"1s\"\n"
                            "  store = \"file://%s/store\"\n}\n",
                            node, more, root);
    cr_assert(config_load("test", view_str(text), NULL, &l->config, &err), "%s", err.msg);
}

static void life_start(struct life *l, struct loop *loop)
{
    int ends[2];
    const struct engine_events events = { on_hello, on_gate, on_end, l };
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    l->loop = loop;
    l->shim.raw = ends[0];
    l->watch = loop_watch_new(loop, ends[0], LOOP_READ, on_shim, l);
    struct engine_spec spec = { l->config, { ends[1] }, &clock_system, &l->observe };
    l->engine = engine_new(loop, spec, &events);
    struct shim_msg hello = { .type = SHIM_HELLO };
    (void)snprintf(hello.hello.api, sizeof hello.hello.api, "/api");
    tell(l, hello);
}

/* A life on `node` with its own directory. */
static void life_begin(struct life *l, struct loop *loop, const char *node)
{
    (void)snprintf(l->dir, sizeof l->dir, "%s/%s/state", root, node);
    CLEANUP(str_freep)
    char *state = str_format("state {\n  path = \"%s\"\n  store = \"file://%s/store\"\n"
                             "  interval = \"0s\"\n  key_file = \"%s/key\"\n}\n",
                             l->dir, root, root);
    life_config(l, node, state);
    life_start(l, loop);
}

static void life_end(struct life *l)
{
    engine_free(l->engine);
    config_free(l->config);
    loop_watch_freep(&l->watch);
    fd_closep(&l->shim);
    *l = (struct life){ .shim = FD_NONE };
}

static void tick(void *arg) { loop_quit(arg); }

/* Runs the loop until `is_so`; the deadline is a failure of the test. */
#define UNTIL(life, is_so) \
    cr_assert(run_until(life, is_so), "%s: last event \"%s\"", #is_so, last_event(life))

typedef bool life_fn(const struct life *l);
static bool run_until(const struct life *l, life_fn *is_so)
{
    struct boot end = boot_add_ms(boot_now(), PATIENCE_MS);
    struct loop_timer *timer = loop_timer_new(l->loop, tick, l->loop);
    while (!is_so(l) && boot_now().ns < end.ns) {
        loop_timer_arm(timer, boot_add_ms(boot_now(), 10));
        loop_run(l->loop);
    }
    loop_timer_free(timer);
    return is_so(l);
}
static const char *last_event(const struct life *l)
{
    return l->event_count > 0 ? l->events[l->event_count - 1] : "";
}
/* The place of the first event with this beginning, from 1; 0: not told. */
static unsigned told(const struct life *l, const char *start)
{
    for (unsigned i = 0; i < l->event_count; i++)
        if (strncmp(l->events[i], start, strlen(start)) == 0)
            return i + 1;
    return 0;
}
static enum life_state phase(const struct life *l)
{
    struct engine_status status;
    engine_status(l->engine, &status);
    return status.state;
}
static bool is_running(const struct life *l) { return phase(l) == LIFE_RUNNING; }
static bool is_over(const struct life *l) { return l->ends > 0; }
/* The shim's end of the channel reads in its own time. */
static bool is_told(const struct life *l) { return l->is_done; }
static bool is_wished(const struct life *l) { return l->wish_ok + l->wish_failed > 0; }
static bool is_standby(const struct life *l) { return told(l, "standby: ") > 0; }

static bool is_degraded(const struct life *l) { return told(l, "degraded: ") > 0; }
static bool is_gate_told(const struct life *l) { return told(l, "gate open") > 0; }

static void put_file(const struct life *l, const char *name, const char *text)
{
    struct err err;
    CLEANUP(str_freep) char *path = str_format("%s/%s", l->dir, name);
    cr_assert(dir_make(l->dir, 0700, &err) &&
                  file_publish(AT_FDCWD, path, view_str(text), 0600, FILE_REPLACE, &err),
              "%s", err.msg);
}
static bool file_is(const struct life *l, const char *name, const char *text)
{
    struct err err;
    CLEANUP(buf_fini) struct buf got = { 0 };
    CLEANUP(str_freep) char *path = str_format("%s/%s", l->dir, name);
    return file_read(AT_FDCWD, path, 4096, &got, &err) &&
           view_is_equal(buf_view(&got), view_str(text));
}

/* The agent is asked to stop, and ends. */
static void stop(struct life *l)
{
    tell(l, (struct shim_msg){ .type = SHIM_STOPPING, .stopping.left_ms = 10000 });
    if (phase(l) == LIFE_RUNNING)
        tell(l, (struct shim_msg){ .type = SHIM_AGENT_EXITED });
    UNTIL(l, is_over);
    UNTIL(l, is_told);
}

Test(engine, first_life_opens_the_gate_then_saves_releases_and_is_done)
{
    struct loop *loop = loop_new();
    struct life l = { 0 };
    life_begin(&l, loop, "a");
    UNTIL(&l, is_running);
    UNTIL(&l, is_gate_told); /* the events are on their way */
    unsigned lease = told(&l, "lease acquired: epoch 1");
    unsigned first = told(&l, "first start: no checkpoint yet");
    unsigned gate = told(&l, "gate open: epoch 1");
    cr_assert(lease > 0 && first > lease && gate > first);
    cr_assert_str_eq(l.restored, "");
    put_file(&l, "x", "made by a");
    stop(&l);
    unsigned final = told(&l, "final checkpoint "), released = told(&l, "lease released: epoch 1");
    cr_assert(final > gate && released > final);
    cr_assert(l.is_done && l.done_kind == ERR_NONE && l.end_kind == ERR_NONE && !l.is_fenced);
    life_end(&l);
    loop_free(loop);
}

Test(engine, second_life_elsewhere_restores_before_its_gate)
{
    struct loop *loop = loop_new();
    struct life l = { 0 };
    life_begin(&l, loop, "a");
    UNTIL(&l, is_running);
    put_file(&l, "x", "made by a");
    stop(&l);
    life_end(&l);
    life_begin(&l, loop, "b");
    UNTIL(&l, is_running);
    UNTIL(&l, is_gate_told); /* the events are on their way */
    unsigned restoring = told(&l, "restoring checkpoint "), restored = told(&l, "restored ");
    cr_assert(restoring > told(&l, "lease acquired: epoch 2") && restored > restoring);
    cr_assert_gt(told(&l, "gate open: epoch 2"), restored);
    cr_assert_str_neq(l.restored, "");
    cr_assert(file_is(&l, "x", "made by a"));
    stop(&l);
    cr_assert_gt(told(&l, "final checkpoint "), 0);
    cr_assert_not_null(strstr(l.events[told(&l, "final checkpoint ") - 1], "is unchanged"));
    life_end(&l);
    loop_free(loop);
}

Test(engine, barrier_is_in_the_next_life_though_this_one_just_vanishes)
{
    struct loop *loop = loop_new();
    struct life a = { 0 }, b = { 0 };
    struct err err;
    life_begin(&a, loop, "a");
    UNTIL(&a, is_running);
    put_file(&a, "x", "before the barrier");
    struct wish wish = { .done = on_wish, .arg = &a };
    cr_assert(engine_wish(a.engine, &wish, &err), "%s", err.msg);
    cr_assert_eq(a.wish_ok, 0);
    UNTIL(&a, is_wished);
    cr_assert(a.wish_ok == 1 && a.wish_id[0] != '\0');
    fd_closep(&a.shim); /* the shim is gone, so is the agent */
    loop_watch_freep(&a.watch);
    UNTIL(&a, is_over);
    cr_assert_eq(a.end_kind, ERR_UNAVAILABLE);
    life_begin(&b, loop, "b");
    UNTIL(&b, is_running);
    cr_assert_gt(told(&b, "standby: waiting for the lease held by a (epoch 1)"), 0);
    cr_assert(file_is(&b, "x", "before the barrier"));
    cr_assert_str_eq(b.restored, a.wish_id);
    stop(&b);
    life_end(&a);
    life_end(&b);
    loop_free(loop);
}

Test(engine, content_that_is_there_on_a_first_start_is_saved_before_the_gate)
{
    struct loop *loop = loop_new();
    struct life l = { 0 };
    (void)snprintf(l.dir, sizeof l.dir, "%s/a/state", root);
    put_file(&l, "seed", "from the operator");
    life_begin(&l, loop, "a");
    UNTIL(&l, is_running);
    unsigned seed = told(&l, "first start: saving "), committed = told(&l, "checkpoint ");
    cr_assert(seed > 0 && committed > seed && told(&l, "gate open") > committed);
    cr_assert(file_is(&l, "seed", "from the operator"));
    stop(&l);
    life_end(&l);
    loop_free(loop);
}

/* Flips a bit every 16 bytes in every pack of the store. */
static unsigned damage(const char *path)
{
    unsigned count = 0;
    DIR *dir = opendir(path);
    cr_assert_not_null(dir);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        CLEANUP(str_freep) char *below = str_format("%s/%s", path, e->d_name);
        struct stat st;
        if (e->d_name[0] == '.' || lstat(below, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode))
            count += damage(below);
        if (!S_ISREG(st.st_mode) || strncmp(e->d_name, "00000", 5) != 0)
            continue;
        int fd = open(below, O_RDWR | O_CLOEXEC);
        cr_assert_eq(fchmod(fd, 0600), 0);
        for (off_t at = 0; at < st.st_size; at += 16) {
            char byte;
            cr_assert_eq(pread(fd, &byte, 1, at), 1);
            byte ^= 1;
            cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
        }
        close(fd);
        count++;
    }
    closedir(dir);
    return count;
}

Test(engine, damaged_checkpoint_never_opens_the_gate)
{
    struct loop *loop = loop_new();
    struct life l = { 0 };
    life_begin(&l, loop, "a");
    UNTIL(&l, is_running);
    put_file(&l, "x", "made by a");
    stop(&l);
    life_end(&l);
    CLEANUP(str_freep) char *store = str_format("%s/store", root);
    cr_assert_geq(damage(store), 1);
    life_begin(&l, loop, "b");
    UNTIL(&l, is_over);
    UNTIL(&l, is_told);
    cr_assert(l.gates == 0 && l.end_kind == ERR_CORRUPT && l.done_kind == ERR_CORRUPT);
    cr_assert_gt(told(&l, "failed: "), 0);
    cr_assert_gt(told(&l, "lease released: epoch 2"), 0, "nobody ran, so nobody need wait");
    cr_assert_not(file_is(&l, "x", "made by a"));
    life_end(&l);
    loop_free(loop);
}

Test(engine, standby_waits_and_leaves_at_once_when_stopped)
{
    struct loop *loop = loop_new();
    struct life a = { 0 }, b = { 0 };
    life_begin(&a, loop, "a");
    UNTIL(&a, is_running);
    life_begin(&b, loop, "b");
    UNTIL(&b, is_standby);
    struct engine_status status;
    engine_status(b.engine, &status);
    cr_assert_str_eq(status.holder, "a");
    cr_assert_eq(status.epoch, 0);
    stop(&b);
    cr_assert(b.end_kind == ERR_NONE && b.gates == 0 && b.done_kind == ERR_NONE);
    cr_assert(is_running(&a));
    stop(&a);
    life_end(&a);
    life_end(&b);
    loop_free(loop);
}

Test(engine, standby_takes_over_at_once_after_a_release)
{
    struct loop *loop = loop_new();
    struct life a = { 0 }, b = { 0 };
    life_begin(&a, loop, "a");
    UNTIL(&a, is_running);
    life_begin(&b, loop, "b");
    UNTIL(&b, is_standby);
    put_file(&a, "x", "last word");
    stop(&a);
    UNTIL(&b, is_running);
    cr_assert(file_is(&b, "x", "last word"));
    stop(&b);
    life_end(&a);
    life_end(&b);
    loop_free(loop);
}

Test(engine, gate_that_cannot_be_prepared_is_tried_again)
{
    struct loop *loop = loop_new();
    struct life l = { .gate_refusals = 2 };
    life_begin(&l, loop, "a");
    UNTIL(&l, is_running);
    cr_assert_gt(told(&l, "degraded: listen: somebody else does"), 0);
    cr_assert_gt(told(&l, "recovered: the local API listens"), 0);
    stop(&l);
    life_end(&l);
    loop_free(loop);
}

Test(engine, refused_gate_is_a_lost_lease)
{
    struct loop *loop = loop_new();
    struct life l = { .refuses_gate = true };
    life_begin(&l, loop, "a");
    UNTIL(&l, is_over);
    UNTIL(&l, is_told);
    cr_assert(l.end_kind == ERR_FENCED && l.is_fenced && l.done_kind == ERR_FENCED);
    cr_assert_eq(told(&l, "lease released"), 0);
    life_end(&l);
    loop_free(loop);
}

Test(engine, lost_store_ends_in_a_fence_and_fails_those_who_wait)
{
    struct loop *loop = loop_new();
    struct life l = { 0 };
    struct err err;
    life_begin(&l, loop, "a");
    UNTIL(&l, is_running);
    CLEANUP(str_freep) char *store = str_format("%s/store", root);
    CLEANUP(str_freep) char *away = str_format("%s/away", root);
    cr_assert_eq(rename(store, away), 0);
    put_file(&l, "x", "too late");
    struct wish wish = { .done = on_wish, .arg = &l };
    cr_assert(engine_wish(l.engine, &wish, &err));
    struct boot before = boot_now();
    UNTIL(&l, is_over);
    UNTIL(&l, is_told);
    cr_assert_leq(boot_diff_ms(boot_now(), before), 2500);
    cr_assert(l.is_fenced && l.end_kind == ERR_FENCED && l.done_kind == ERR_FENCED);
    cr_assert(l.wish_failed == 1 && l.wish_ok == 0);
    cr_assert_gt(told(&l, "degraded: "), 0);
    cr_assert_neq(access(store, F_OK), 0, "nothing is made in its place");
    cr_assert_not(engine_wish(l.engine, &wish, &err));
    cr_assert_eq(err.kind, ERR_CONFLICT);
    life_end(&l);
    loop_free(loop);
}

Test(engine, agent_that_ends_by_itself_is_saved_too)
{
    struct loop *loop = loop_new();
    struct life l = { 0 };
    life_begin(&l, loop, "a");
    UNTIL(&l, is_running);
    put_file(&l, "x", "made by a");
    tell(&l, (struct shim_msg){ .type = SHIM_AGENT_EXITED, .exited.exit_code = 3 });
    UNTIL(&l, is_over);
    cr_assert(l.end_kind == ERR_NONE && told(&l, "final checkpoint ") > 0);
    cr_assert_gt(told(&l, "lease released"), 0);
    life_end(&l);
    loop_free(loop);
}

Test(engine, stop_between_gate_and_start_waits_for_the_agent)
{
    struct loop *loop = loop_new();
    struct life l = { .holds_started = true };
    life_begin(&l, loop, "a");
    UNTIL(&l, is_gate_told);
    tell(&l, (struct shim_msg){ .type = SHIM_STOPPING, .stopping.left_ms = 10000 });
    tell(&l, (struct shim_msg){ .type = SHIM_AGENT_STARTED, .started.pid = 4242 });
    tell(&l, (struct shim_msg){ .type = SHIM_AGENT_EXITED });
    UNTIL(&l, is_over);
    cr_assert(l.end_kind == ERR_NONE && told(&l, "lease released") > 0);
    life_end(&l);
    loop_free(loop);
}

Test(engine, agent_with_a_lease_only_has_no_checkpoints)
{
    struct loop *loop = loop_new();
    struct life l = { 0 };
    struct err err;
    CLEANUP(str_freep) char *key = str_format("%s/key", root);
    life_config(&l, "a", "");
    free(l.config->state.key_file);
    l.config->state.key_file = STEAL(key);
    life_start(&l, loop);
    UNTIL(&l, is_running);
    struct wish wish = { .done = on_wish, .arg = &l };
    cr_assert_not(engine_wish(l.engine, &wish, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    stop(&l);
    cr_assert(l.end_kind == ERR_NONE && told(&l, "final checkpoint") == 0);
    cr_assert_gt(told(&l, "lease released"), 0);
    life_end(&l);
    loop_free(loop);
}

Test(engine, store_that_cannot_be_understood_fails_the_start)
{
    struct loop *loop = loop_new();
    struct life l = { 0 };
    life_config(&l, "a", "");
    free(l.config->lease.store);
    l.config->lease.store = str_copy("gopher://x");
    life_start(&l, loop);
    UNTIL(&l, is_over);
    UNTIL(&l, is_told);
    cr_assert(l.end_kind == ERR_INVALID && l.done_kind == ERR_INVALID && !l.is_fenced);
    life_end(&l);
    loop_free(loop);
}

Test(engine, emptied_register_over_packs_is_no_first_start)
{
    struct loop *loop = loop_new();
    struct life l = { 0 };
    life_begin(&l, loop, "a");
    UNTIL(&l, is_running);
    put_file(&l, "x", "made by a");
    stop(&l);
    life_end(&l);
    CLEANUP(str_freep) char *record = str_format("%s/store/agents/test%%2Fagent/record", root);
    cr_assert_eq(unlink(record), 0);
    life_begin(&l, loop, "b");
    UNTIL(&l, is_over);
    cr_assert(l.gates == 0 && l.end_kind == ERR_CORRUPT && told(&l, "failed: ") > 0);
    cr_assert_neq(access(record, F_OK), 0, "no record is written over them");
    life_end(&l);
    loop_free(loop);
}

Test(engine, standby_without_a_store_waits_and_can_be_stopped)
{
    struct loop *loop = loop_new();
    struct life l = { 0 };
    CLEANUP(str_freep) char *store = str_format("%s/store", root);
    CLEANUP(str_freep) char *away = str_format("%s/away", root);
    cr_assert_eq(rename(store, away), 0);
    life_begin(&l, loop, "a");
    UNTIL(&l, is_degraded);
    cr_assert_eq(phase(&l), LIFE_LEASING);
    stop(&l);
    cr_assert(l.end_kind == ERR_NONE && l.gates == 0 && access(store, F_OK) != 0);
    life_end(&l);
    loop_free(loop);
}
