#include "sidecar/engine/state.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "sidecar/engine/cut.h"
#include "sidecar/engine/watch.h"
#include "sidecar/engine/workers.h"

#include <assert.h>
#include <stdio.h>

#define WATCH_MS    5000    /* between looks; less when the lease is looked at more often */
#define OPEN_TRY_MS 3600000 /* a large tree from a slow store; losing the lease ends it sooner */

struct state {
    struct loop *loop;
    struct lease *lease;
    struct port *port;
    const char *digest;
    struct state_events events;
    struct checkpoint *cp;
    struct cut *cut;
    struct saver *saver;
    struct watch *watches[ENGINE_WORKERS - ENGINE_LOOK_STATE]; /* of the directory, of the packs */
    struct store *watched;
    struct local local;
    char head[PACK_ID_TEXT];
    uint8_t wrapped_key[KEYRING_WRAPPED_BYTES];
    bool is_opening, is_stopped, is_saver_idle;
    unsigned idle_watches;
    const struct clock *clock;
    int64_t epoch, interval_ms;
    bool has_run, is_saving_last, is_last_saved;
    /* the mark beside the directory: as it should be, as it is, and as a worker writes it */
    struct mark wanted, noted;
    struct local_unsaved unsaved;
    struct {
        bool is_busy, is_ok, is_troubled;
        struct mark mark;
        struct err err;
    } noting;
    /* the worker's while is_opening */
    bool is_ok;
    enum local_found found;
    struct restore_report report;
    struct err err;
};

static bool on_take(void *arg, const struct saver_take *what, struct checkpoint_result *out,
                    struct err *err)
{
    struct state *s = arg; /* worker: what is used here does not change while it works */
    const struct checkpoint_request request = {
        .reason = what->reason,
        .config_digest = s->digest,
        .cut = what->is_alone ? NULL : cut_borrow_ops(s->cut),
        .may_trust_growth = what->is_interval,
        .until = what->until,
    };
    /* An empty mount point is no empty state, and nothing that was read across it is one. */
    if (!local_check(&s->local, err) || !checkpoint_take(s->cp, &request, out, err))
        return false;
    if (local_check(&s->local, err))
        return true;
    if (out->is_changed)
        checkpoint_dropped(s->cp);
    return false;
}

static bool look_at_directory(void *arg, struct err *err)
{
    return local_check_use(&((struct state *)arg)->local, err);
}

static bool look_at_packs(void *arg, struct err *err)
{
    return store_probe(((struct state *)arg)->watched, deadline_after(boot_now(), WATCH_MS, 0),
                       err);
}

static void on_health(void *arg, enum health_source source, const struct err *err)
{
    struct state *s = arg;
    s->events.on_health(s->events.arg, source, err);
}

static void on_commit(void *arg, const struct checkpoint_result *result, saver_done_fn *done,
                      void *done_arg)
{
    struct state *s = arg;
    struct record_head head = { 0 };
    if (result != NULL) {
        (void)snprintf(head.id, sizeof head.id, "%s", result->id);
        head.sequence = result->sequence;
        head.epoch = result->epoch;
        head.wall_ms = result->wall_ms;
    }
    lease_commit(s->lease, result != NULL ? &head : NULL, done, done_arg);
}

static void on_settle(void *arg, bool is_committed)
{
    struct state *s = arg;
    if (is_committed)
        checkpoint_committed(s->cp);
    else
        checkpoint_dropped(s->cp);
}

static void check_idle(struct state *s);
static void note_if_wanted(struct state *s);

static void note_job(void *arg)
{
    struct state *s = arg;
    s->noting.is_ok = local_note(&s->local, &s->noting.mark, &s->noting.err);
}

/* One that cannot be written is tried again with the next checkpoint. */
static void on_noted(void *arg)
{
    struct state *s = arg;
    bool was_troubled = s->noting.is_troubled;
    s->noting.is_busy = false;
    s->noting.is_troubled = !s->noting.is_ok;
    if (s->noting.is_ok)
        s->noted = s->noting.mark;
    if (was_troubled || !s->noting.is_ok)
        on_health(s, HEALTH_MARK, s->noting.is_ok ? NULL : &s->noting.err);
    if (s->noting.is_ok)
        note_if_wanted(s);
    check_idle(s);
}

static void note_if_wanted(struct state *s)
{
    bool is_noted = !s->noting.is_troubled && s->wanted.is_unsaved == s->noted.is_unsaved;
    if (s->noting.is_busy || is_noted)
        return;
    s->noting.is_busy = true;
    s->noting.mark = s->wanted;
    loop_work(s->loop, note_job, on_noted, s);
}

/* The first reason stays: it says since when. Before the directory is ours nothing is marked. */
static void want_unsaved(struct state *s, const char *why)
{
    int64_t sequence;
    if (s->is_opening || !s->is_ok)
        return;
    if (!s->wanted.is_unsaved) {
        (void)saver_borrow_head(s->saver, &sequence);
        s->wanted = (struct mark){ .is_unsaved = true,
                                   .sequence = sequence,
                                   .epoch = s->epoch,
                                   .wall_ms = clock_wall(s->clock).ns / NS_PER_MS };
        (void)snprintf(s->wanted.head, sizeof s->wanted.head, "%s", state_borrow_head(s));
        (void)snprintf(s->wanted.why, sizeof s->wanted.why, "%s", why);
        utf8_mend(s->wanted.why);
    }
    note_if_wanted(s);
}

static void want_saved(struct state *s)
{
    if (s->is_opening || !s->is_ok)
        return;
    s->wanted = (struct mark){ 0 };
    note_if_wanted(s);
}

static void on_committed(void *arg, const struct checkpoint_result *result, bool is_once)
{
    struct state *s = arg;
    note_if_wanted(s); /* a try that failed */
    s->events.on_committed(s->events.arg, result, is_once);
}

static void on_trouble(void *arg, const struct err *err)
{
    struct state *s = arg;
    if (err != NULL)
        want_unsaved(s, err->msg);
    else if (!s->is_saving_last) /* then only the last one counts */
        want_saved(s);
    on_health(s, HEALTH_CHECKPOINT, err);
}

static void on_once(void *arg, const struct checkpoint_result *result, const struct err *err)
{
    struct state *s = arg;
    s->is_last_saved = s->has_run && err == NULL;
    if (err == NULL)
        want_saved(s);
    s->events.on_once(s->events.arg, result, err);
}

static void check_idle(struct state *s)
{
    if (s->is_stopped && s->is_saver_idle && s->idle_watches == COUNT(s->watches) &&
        !s->is_opening && !s->noting.is_busy)
        s->events.on_idle(s->events.arg);
}

static void on_saver_idle(void *arg)
{
    struct state *s = arg;
    s->is_saver_idle = true;
    check_idle(s);
}

static void on_watch_idle(void *arg)
{
    struct state *s = arg;
    s->idle_watches++;
    check_idle(s);
}

static void on_cut_send(void *arg, uint32_t seq, uint32_t freeze_ms)
{
    struct state *s = arg;
    port_freeze(s->port, seq, freeze_ms);
}

bool state_new(const struct state_spec *spec, const struct state_events *events, struct state **out,
               struct err *err)
{
    const struct sidecar_config *config = spec->config;
    const struct record *record = lease_borrow_record(spec->lease);
    struct state *s = mem_new(struct state);
    memcpy(s->wrapped_key, record->wrapped_key, sizeof s->wrapped_key);
    const struct checkpoint_spec checkpoints = {
        .source = { .store = spec->packs,
                    .name = config->name,
                    .keys = lease_borrow_keys(spec->lease),
                    .wrapped_key = s->wrapped_key },
        .root = config->state.path,
        .exclude = (const char *const *)config->state.exclude.items,
        .exclude_count = config->state.exclude.count,
        .epoch = lease_epoch(spec->lease),
    };
    if (!checkpoint_new(&checkpoints, &s->cp, err) ||
        !cut_new(spec->loop, on_cut_send, s, &s->cut, err)) {
        checkpoint_free(s->cp);
        free(s);
        return false;
    }
    s->loop = spec->loop;
    s->lease = spec->lease;
    s->port = spec->port;
    s->clock = spec->clock;
    s->epoch = checkpoints.epoch;
    s->interval_ms = config->state.interval_ms;
    s->digest = spec->config_digest;
    s->events = *events;
    local_init(&s->local, config->state.path);
    if (record->has_head)
        (void)snprintf(s->head, sizeof s->head, "%.*s", PACK_ID_TEXT - 1, record->head.id);
    const struct saver_ops ops = { on_take, on_commit, on_settle, s };
    const struct saver_events told = { on_committed, on_trouble, on_once, on_saver_idle, s };
    s->saver = saver_new(spec->loop, spec->clock, spec->observe, &ops, &told);
    s->watched = spec->watched;
    const int64_t third_ms = config->lease.ttl_ms / 3,
                  every_ms = third_ms < WATCH_MS ? third_ms : WATCH_MS;
    const struct watch_spec looks[] = {
        { HEALTH_STATE, every_ms, WATCH_MS, look_at_directory, on_health, on_watch_idle, s },
        { HEALTH_PACKS, every_ms, WATCH_MS, look_at_packs, on_health, on_watch_idle, s },
    };
    _Static_assert(COUNT(looks) == COUNT(((struct state *)0)->watches), "a worker for each");
    for (size_t i = 0; i < COUNT(looks); i++)
        s->watches[i] = watch_new(spec->loop, spec->clock, &looks[i]);
    *out = s;
    return true;
}

void state_free(struct state *s)
{
    if (s == NULL)
        return;
    assert(!s->is_opening && !s->noting.is_busy);
    saver_free(s->saver);
    for (size_t i = 0; i < COUNT(s->watches); i++)
        watch_free(s->watches[i]);
    cut_free(s->cut);
    checkpoint_free(s->cp);
    local_fini(&s->local);
    free(s);
}

static void open_job(void *arg)
{
    struct state *s = arg;
    struct local_wish wish = { s->cp, s->head, deadline_after(boot_now(), OPEN_TRY_MS, 0) };
    s->is_ok = local_open(&s->local, &wish, &s->found, &s->report, &s->err);
}

static void on_open_done(void *arg)
{
    struct state *s = arg;
    s->is_opening = false;
    if (s->is_stopped) {
        check_idle(s);
        return;
    }
    if (s->is_ok && s->found == LOCAL_RESTORED)
        saver_adopt(s->saver, s->report.id, s->report.sequence);
    s->wanted = s->noted = s->local.mark;
    s->unsaved = s->local.unsaved;
    for (size_t i = 0; s->is_ok && i < COUNT(s->watches); i++)
        watch_start(s->watches[i]);
    s->events.on_opened(s->events.arg, s->found, &s->report, s->is_ok ? NULL : &s->err);
}

void state_open(struct state *s)
{
    assert(!s->is_opening && !s->is_stopped);
    s->is_opening = true;
    s->report = (struct restore_report){ 0 };
    loop_work(s->loop, open_job, on_open_done, s);
}

void state_stop(struct state *s, const struct err *why)
{
    if (s->is_stopped)
        return;
    s->is_stopped = true;
    if (s->has_run && !s->is_last_saved)
        want_unsaved(s, why->msg);
    saver_stop(s->saver, why);
    for (size_t i = 0; i < COUNT(s->watches); i++)
        watch_stop(s->watches[i]);
}

void state_run(struct state *s)
{
    s->has_run = true;
    saver_start(s->saver, s->interval_ms);
}

void state_save_last(struct state *s, struct deadline until)
{
    s->has_run = s->is_saving_last = true;
    want_unsaved(s, "the last checkpoint was not committed"); /* should it hang, or we be killed */
    saver_once(s->saver, "stop", until);
}

const struct local_unsaved *state_borrow_unsaved(const struct state *s) { return &s->unsaved; }

struct saver *state_borrow_saver(struct state *s) { return s->saver; }

const char *state_borrow_head(const struct state *s)
{
    int64_t sequence;
    const char *newest = saver_borrow_head(s->saver, &sequence);
    return newest[0] != '\0' ? newest : s->head;
}

void state_on_frozen(struct state *s, uint32_t seq, bool is_frozen)
{
    cut_on_frozen(s->cut, seq, is_frozen);
}
