/* Checkpoints of a tree that another process is writing to, held still by SIGSTOP. */
#include "sidecar/checkpoint/take.h"

#include "sidecar/checkpoint/fixture_test.h"
#include "sidecar/checkpoint/writer_test.h"

#include <sys/wait.h>

static struct fixture f;
static void begin(void) { fixture_begin(&f); }
static void end(void) { fixture_end(&f); }
TestSuite(writer, .init = begin, .fini = end, .timeout = 110);

static void commit_of(struct fixture *g)
{
    if (g->last.is_changed) {
        checkpoint_committed(g->cp);
        memcpy(g->head, g->last.id, sizeof(g->head));
    }
}

static void commit(void) { commit_of(&f); }

/* Each file holds one byte value over and over; both are changed one after the other, b before a.
 */
static void write_generations(const char *dir)
{
    static uint8_t bytes[100000];
    CLEANUP(str_freep) char *a = str_format("%s/a", dir);
    CLEANUP(str_freep) char *b = str_format("%s/b", dir);
    struct fd fa = { open(a, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) };
    struct fd fb = { open(b, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) };
    for (uint8_t generation_now = 1;; generation_now++) {
        memset(bytes, generation_now, sizeof(bytes));
        (void)!pwrite(fb.raw, bytes, sizeof(bytes), 0);
        (void)!pwrite(fa.raw, bytes, sizeof(bytes), 0);
    }
}

static uint8_t only_byte(const char *dir, const char *name)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct err err = { 0 };
    CLEANUP(str_freep) char *path = str_format("%s/%s", dir, name);
    cr_assert(file_read(AT_FDCWD, path, 200000, &bytes, &err), "%s", err.msg);
    for (size_t i = 1; i < bytes.len; i++)
        cr_assert_eq(bytes.data[i], bytes.data[0], "byte %zu of %s", i, name);
    return bytes.len > 0 ? bytes.data[0] : 0;
}

Test(writer, files_of_a_stopped_writer_are_of_one_instant)
{
    struct err err = { 0 };
    struct restore_report report;
    unsigned consistent = 0;
    fixture_write(&f, "a", "", 0);
    fixture_write(&f, "b", "", 0);
    struct writer w = start_writer();
    if (w.pid == 0)
        write_generations(f.state);
    struct cut_ops cut = { stop_writer, go_on, &w };
    struct checkpoint_request request = { .reason = "test", .cut = &cut, .freeze_ms = 500 };
    for (int i = 0; i < 60; i++) {
        request.until = fixture_soon();
        cr_assert(checkpoint_take(f.cp, &request, &f.last, &err), "%s", err.msg);
        commit();
        if (f.last.cut != CUT_CONSISTENT || f.head[0] == '\0')
            continue;
        consistent++;
        cr_assert(fixture_restore_to(&f, f.head, f.out, &report, &err), "%s", err.msg);
        uint8_t a = only_byte(f.out, "a"), b = only_byte(f.out, "b");
        cr_assert(a == b || (uint8_t)(a + 1) == b, "a %u b %u", a, b);
    }
    end_writer(&w);
    cr_assert_gt(consistent, 30);
}

static void make_and_remove(const char *dir)
{
    CLEANUP(fd_closep) struct fd d = { open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    for (unsigned i = 0;; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "t%u", i % 50);
        struct fd fd = { openat(d.raw, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) };
        (void)!write(fd.raw, &i, sizeof(i));
        fd_closep(&fd);
        (void)snprintf(name, sizeof(name), "t%u", (i + 25) % 50);
        (void)unlinkat(d.raw, name, 0);
    }
}

static bool refuse(void *arg, int64_t max_ms, struct err *err)
{
    (void)arg, (void)max_ms;
    return err_set(err, ERR_UNAVAILABLE, "freeze: not possible here");
}

Test(writer, files_that_come_and_go_do_not_stop_checkpoints)
{
    struct err err = { 0 };
    struct restore_report report;
    fixture_write(&f, "kept", "1", 1);
    struct writer w = start_writer();
    if (w.pid == 0)
        make_and_remove(f.state);
    struct cut_ops cut = { refuse, go_on, &w };
    for (int i = 0; i < 60; i++) {
        cr_assert(fixture_try(&f, &cut, &err), "%s", err.msg);
        commit();
        cr_assert(fixture_restore_to(&f, f.head, f.out, &report, &err), "%s", err.msg);
    }
    end_writer(&w);
    cr_assert_eq(f.last.cut, CUT_FUZZY);
}

/* SQLite in WAL mode, and a log that says what was committed: a checkpoint holds every transaction
 * that its own copy of the log names. integrity_check alone would not see one that is missing. */
static const char writer_code[] =
    "import sqlite3, sys, os, time\n"
    "d = sys.argv[1]\n"
    "db = sqlite3.connect(d + '/state.db', isolation_level=None)\n"
    "db.execute('pragma journal_mode=' + sys.argv[2])\n"
    "db.execute('pragma synchronous=normal')\n"
    "db.execute('create table if not exists kv(k integer primary key, v blob)')\n"
    "db.execute('create table if not exists n(a integer, b integer)')\n"
    "db.execute('insert into n select 0, 0 where not exists (select 1 from n)')\n"
    "log = os.open(d + '/log.jsonl', os.O_CREAT | os.O_WRONLY | os.O_APPEND)\n"
    "i = 0\n"
    "while True:\n"
    "    i += 1\n"
    "    db.execute('begin immediate')\n"
    "    db.execute('update n set a = a + 1')\n"
    "    db.execute('insert into kv values(?, randomblob(600))', (i,))\n"
    "    db.execute('update n set b = b + 1')\n"
    "    db.execute('commit')\n"
    "    os.write(log, b'%d\\n' % i)\n"
    "    time.sleep(0.001)\n";

static const char check_code[] =
    "import sqlite3, sys, os\n"
    "d = sys.argv[1]\n"
    "lines = open(d + '/log.jsonl').read().split('\\n')[:-1] if os.path.exists(d + '/log.jsonl') "
    "else []\n"
    "db = sqlite3.connect(d + '/state.db')\n"
    "a, b = db.execute('select a, b from n').fetchone()\n"
    "rows = db.execute('select count(*) from kv').fetchone()[0]\n"
    "whole = db.execute('pragma integrity_check').fetchone()[0]\n"
    "said = int(lines[-1]) if lines else 0\n"
    "assert whole == 'ok', whole\n"
    "assert a == b == rows, (a, b, rows)\n"
    "assert said <= rows <= said + 1, (said, rows)\n";

static void check_database(const char *dir)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)execlp("python3", "python3", "-c", check_code, dir, NULL);
        _exit(127);
    }
    int status = 0;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0, "the restored database lost something");
}

static bool has_tables(const struct fixture *g)
{
    CLEANUP(str_freep) char *log = str_format("%s/log.jsonl", g->state);
    struct stat st;
    return stat(log, &st) == 0 && st.st_size > 0;
}

static void run_database(const char *journal)
{
    struct err err = { 0 };
    struct restore_report report;
    unsigned consistent = 0;
    struct fixture g;
    if (system("python3 -c 'import sqlite3'") != 0)
        cr_skip("needs python3 with sqlite3");
    fixture_begin_at(&g, "/dev/shm", NULL);
    fixture_open(&g, NULL, 0);
    struct writer w = start_writer();
    if (w.pid == 0) {
        (void)execlp("python3", "python3", "-c", writer_code, g.state, journal, NULL);
        _exit(127);
    }
    struct boot end = boot_add_ms(boot_now(), 20000);
    while (!has_tables(&g))
        cr_assert_lt(boot_now().ns, end.ns);
    struct cut_ops cut = { stop_writer, go_on, &w };
    struct checkpoint_request request = { .reason = "test", .cut = &cut, .freeze_ms = 1000 };
    for (int i = 0; i < 15; i++) {
        request.until = fixture_soon();
        cr_assert(checkpoint_take(g.cp, &request, &g.last, &err), "%s", err.msg);
        commit_of(&g);
        if (g.last.cut != CUT_CONSISTENT)
            continue;
        consistent++;
        cr_assert(fixture_restore_to(&g, g.head, g.out, &report, &err), "%s", err.msg);
        check_database(g.out);
    }
    end_writer(&w);
    fixture_end(&g);
    cr_assert_gt(consistent, 8);
}

Test(writer, sqlite_with_a_wal_keeps_every_transaction) { run_database("wal"); }
Test(writer, sqlite_with_a_journal_keeps_every_transaction) { run_database("truncate"); }

/* The agent's user owns the parent: what it puts in the place of its directory is not read. */
Test(writer, link_in_place_of_the_directory_is_not_followed)
{
    struct err err = { 0 };
    struct checkpoint_result out = { 0 };
    struct checkpoint_request request = { .reason = "test", .until = fixture_soon() };
    CLEANUP(str_freep) char *aside = str_format("%s.aside", f.state);
    checkpoint_free(f.cp);
    fixture_open(&f, NULL, 0);
    cr_assert(rename(f.state, aside) == 0 && symlink("/etc", f.state) == 0);
    cr_assert_not(checkpoint_take(f.cp, &request, &out, &err));
    cr_assert_eq(err.kind, ERR_INVALID, "%s", err.msg);
}
