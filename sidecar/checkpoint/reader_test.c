#include "sidecar/checkpoint/reader.h"

#include "sidecar/checkpoint/fixture_test.h"

static struct fixture f;
static struct fd root;
static struct catalog none;
static struct quick_seed seed;
static uint8_t *buffer;

static void begin(void)
{
    fixture_begin(&f);
    root = (struct fd){ open(f.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    seed = quick_seed_new();
    buffer = mem_array(READER_BUFFER, 1);
}

static void end(void)
{
    free(buffer);
    fd_closep(&root);
    fixture_end(&f);
}

TestSuite(reader, .init = begin, .fini = end);

/* A sink that keeps what came. */
struct kept {
    struct catalog *catalog;
    struct buf bytes;
    size_t puts;
    uint64_t read_bytes;
};

static bool keep(void *arg, struct view plain, size_t at, struct err *err)
{
    (void)err;
    struct kept *kept = arg;
    buf_put(&kept->bytes, plain);
    kept->puts++;
    kept->catalog->refs[at] = (struct chunk_ref){ .plain_len = (uint32_t)plain.len, .pack = 1 };
    kept->catalog->quick[at] = quick_hash(&seed, plain);
    return true;
}

static void scan_now(struct scan *out)
{
    struct err err = { 0 };
    struct scan_spec spec = { .root_fd = root.raw, .before = &none };
    cr_assert(scan_tree(&spec, out, &err), "%s", err.msg);
}

static enum reader_outcome read_one(struct scan *s, const struct catalog *before, size_t at,
                                    struct kept *kept)
{
    struct err err = { 0 };
    enum reader_outcome outcome;
    kept->catalog = &s->catalog;
    kept->bytes.len = kept->puts = 0;
    struct reader r = { .root_fd = root.raw,
                        .catalog = &s->catalog,
                        .before = before,
                        .seed = &seed,
                        .until = fixture_soon(),
                        .put = keep,
                        .put_arg = kept,
                        .buffer = buffer,
                        .doubt_ns = SCAN_TICK_NS };
    cr_assert(reader_read(&r, at, &outcome, &err), "%s", err.msg);
    return outcome;
}

static void kept_fini(struct kept *kept) { buf_fini(&kept->bytes); }

Test(reader, whole_content_goes_to_the_sink_once)
{
    CLEANUP(scan_fini) struct scan s = { 0 };
    CLEANUP(kept_fini) struct kept kept = { 0 };
    uint8_t *bytes = mem_array(1500000, 1);
    fixture_noise(bytes, 1500000, 1);
    fixture_write(&f, "a", bytes, 1500000);
    scan_now(&s);
    cr_assert_eq(read_one(&s, &none, 1, &kept), READER_STEADY);
    cr_assert(view_is_equal(buf_view(&kept.bytes), view_of(bytes, 1500000)));
    cr_assert_eq(s.catalog.items[1].ref_count, kept.puts);
    cr_assert_gt(kept.puts, 5);
    free(bytes);
}

Test(reader, unchanged_chunks_are_reused)
{
    CLEANUP(scan_fini) struct scan first = { 0 };
    CLEANUP(scan_fini) struct scan second = { 0 };
    CLEANUP(kept_fini) struct kept kept = { 0 };
    fixture_write_noise(&f, "a", 1500000, 1);
    scan_now(&first);
    (void)read_one(&first, &none, 1, &kept);
    size_t chunks = kept.puts;
    fixture_append(&f, "a", "tail");
    scan_now(&second);
    cr_assert_eq(read_one(&second, &first.catalog, 1, &kept), READER_STEADY);
    cr_assert_leq(kept.puts, 2);
    cr_assert_geq(second.catalog.items[1].ref_count + 1, chunks);
}

static void change_byte(const char *name, size_t at)
{
    CLEANUP(str_freep) char *path = str_format("%s/%s", f.state, name);
    CLEANUP(fd_closep) struct fd fd = { open(path, O_WRONLY | O_CLOEXEC) };
    cr_assert_eq(pwrite(fd.raw, "X", 1, (off_t)at), 1);
}

static void change_in_place(size_t at) { change_byte("a", at); }

Test(reader, page_changed_in_place_is_one_chunk_of_a_database)
{
    CLEANUP(scan_fini) struct scan first = { 0 };
    CLEANUP(scan_fini) struct scan second = { 0 };
    CLEANUP(kept_fini) struct kept kept = { 0 };
    uint8_t *bytes = mem_array(1000000, 1);
    fixture_noise(bytes, 1000000, 1);
    memcpy(bytes, "SQLite format 3", 16);
    fixture_write(&f, "a", bytes, 1000000);
    scan_now(&first);
    (void)read_one(&first, &none, 1, &kept);
    change_in_place(500000);
    scan_now(&second);
    (void)read_one(&second, &first.catalog, 1, &kept);
    cr_assert_eq(kept.puts, 1);
    cr_assert_eq(kept.bytes.len, CHUNK_PAGE);
    free(bytes);
}

Test(reader, change_in_place_before_an_append_is_not_missed)
{
    CLEANUP(scan_fini) struct scan first = { 0 };
    CLEANUP(scan_fini) struct scan second = { 0 };
    CLEANUP(kept_fini) struct kept kept = { 0 };
    fixture_write_noise(&f, "a", 1500000, 1);
    scan_now(&first);
    (void)read_one(&first, &none, 1, &kept);
    change_in_place(10);
    fixture_append(&f, "a", "tail");
    scan_now(&second);
    (void)read_one(&second, &first.catalog, 1, &kept);
    cr_assert_gt(kept.bytes.len, 16384);
    cr_assert_eq(kept.bytes.data[10], 'X');
}

/* Reads "x.jsonl" with the permission to trust, on top of a catalog that knows it. */
static void read_trusting(const char *name, void (*change)(const char *), struct kept *kept,
                          struct scan *second)
{
    CLEANUP(scan_fini) struct scan first = { 0 };
    struct err err = { 0 };
    enum reader_outcome outcome;
    fixture_write_noise(&f, name, 1500000, 1);
    scan_now(&first);
    (void)read_one(&first, &none, 1, kept);
    change(name);
    scan_now(second);
    kept->catalog = &second->catalog;
    kept->bytes.len = kept->puts = 0;
    struct reader r = { .root_fd = root.raw,
                        .catalog = &second->catalog,
                        .before = &first.catalog,
                        .seed = &seed,
                        .until = fixture_soon(),
                        .put = keep,
                        .put_arg = kept,
                        .buffer = buffer,
                        .may_trust_growth = true };
    cr_assert(reader_read(&r, 1, &outcome, &err), "%s", err.msg);
    kept->read_bytes = r.read_bytes;
    uint64_t sum = 0;
    const struct item *item = &second->catalog.items[1];
    for (size_t j = 0; j < item->ref_count; j++)
        sum += second->catalog.refs[item->first_ref + j].plain_len;
    cr_assert_eq(sum, item->size);
}

static void grow(const char *name) { fixture_append(&f, name, "tail"); }

static void change_last_and_grow(const char *name)
{
    change_byte(name, 1499990);
    grow(name);
}

static void change_first(const char *name) { change_byte(name, 3); }

Test(reader, log_that_grew_is_sampled)
{
    CLEANUP(scan_fini) struct scan s = { 0 };
    CLEANUP(kept_fini) struct kept kept = { 0 };
    read_trusting("x.jsonl", grow, &kept, &s);
    cr_assert_lt(kept.read_bytes, 1100000);
    cr_assert_eq(s.catalog.items[1].trusted, 1);
    cr_assert_gt(kept.bytes.len, 1000); /* the last chunk is cut again with what follows */
    cr_assert_eq(memcmp(kept.bytes.data + kept.bytes.len - 4, "tail", 4), 0);
}

Test(reader, log_whose_old_part_differs_is_read_whole)
{
    CLEANUP(scan_fini) struct scan s = { 0 };
    CLEANUP(kept_fini) struct kept kept = { 0 };
    read_trusting("x.jsonl", change_last_and_grow, &kept, &s);
    cr_assert_geq(kept.read_bytes, 1500000);
    cr_assert_eq(s.catalog.items[1].trusted, 0);
}

Test(reader, log_that_did_not_grow_and_other_files_are_read_whole)
{
    CLEANUP(scan_fini) struct scan s = { 0 };
    CLEANUP(scan_fini) struct scan t = { 0 };
    CLEANUP(kept_fini) struct kept kept = { 0 };
    CLEANUP(str_freep) char *path = str_format("%s/x.jsonl", f.state);
    read_trusting("x.jsonl", change_first, &kept, &s);
    cr_assert_geq(kept.read_bytes, 1500000);
    cr_assert_eq(unlink(path), 0);
    read_trusting("x.bin", grow, &kept, &t);
    cr_assert_geq(kept.read_bytes, 1500000);
}

Test(reader, shorter_file_takes_no_chunk_too_many)
{
    CLEANUP(scan_fini) struct scan first = { 0 };
    CLEANUP(scan_fini) struct scan second = { 0 };
    CLEANUP(kept_fini) struct kept kept = { 0 };
    CLEANUP(str_freep) char *path = str_format("%s/a", f.state);
    static const off_t sizes[] = { 1400000, 65536, 1, 0 };
    fixture_write_noise(&f, "a", 1500000, 1);
    scan_now(&first);
    (void)read_one(&first, &none, 1, &kept);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        scan_fini(&second);
        cr_assert_eq(truncate(path, sizes[i]), 0);
        scan_now(&second);
        cr_assert_eq(read_one(&second, &first.catalog, 1, &kept), READER_STEADY);
        uint64_t sum = 0;
        const struct item *item = &second.catalog.items[1];
        for (size_t j = 0; j < item->ref_count; j++)
            sum += second.catalog.refs[item->first_ref + j].plain_len;
        cr_assert_eq(sum, (uint64_t)sizes[i]);
    }
}

Test(reader, holes_are_not_read)
{
    CLEANUP(scan_fini) struct scan s = { 0 };
    CLEANUP(kept_fini) struct kept kept = { 0 };
    CLEANUP(str_freep) char *path = str_format("%s/a", f.state);
    fixture_write(&f, "a", "begin", 5);
    CLEANUP(fd_closep) struct fd fd = { open(path, O_WRONLY | O_CLOEXEC) };
    cr_assert_eq(pwrite(fd.raw, "end", 3, (off_t)1 << 33), 3);
    scan_now(&s);
    cr_assert_eq(read_one(&s, &none, 1, &kept), READER_STEADY);
    cr_assert_lt(kept.bytes.len, 100000);
    cr_assert(s.catalog.items[1].has_holes);
    cr_assert_eq(s.catalog.items[1].size, ((uint64_t)1 << 33) + 3);
}

Test(reader, file_replaced_by_something_else_is_gone)
{
    CLEANUP(scan_fini) struct scan s = { 0 };
    CLEANUP(kept_fini) struct kept kept = { 0 };
    CLEANUP(str_freep) char *path = str_format("%s/a", f.state);
    fixture_write(&f, "a", "1", 1);
    scan_now(&s);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(read_one(&s, &none, 1, &kept), READER_GONE);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_eq(read_one(&s, &none, 1, &kept), READER_GONE);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(symlink("/etc/passwd", path), 0);
    cr_assert_eq(read_one(&s, &none, 1, &kept), READER_GONE);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(mkdir(path, 0700), 0);
    cr_assert_eq(read_one(&s, &none, 1, &kept), READER_GONE);
}

static bool append_meanwhile(void *arg, struct view plain, size_t at, struct err *err)
{
    fixture_append(&f, "a", "more");
    return keep(arg, plain, at, err);
}

static bool cut_meanwhile(void *arg, struct view plain, size_t at, struct err *err)
{
    CLEANUP(str_freep) char *path = str_format("%s/a", f.state);
    cr_assert_eq(truncate(path, 600000), 0);
    return keep(arg, plain, at, err);
}

static void read_while(reader_put_fn *put, uint64_t expected)
{
    CLEANUP(scan_fini) struct scan s = { 0 };
    CLEANUP(kept_fini) struct kept kept = { 0 };
    struct err err = { 0 };
    enum reader_outcome outcome;
    fixture_write_noise(&f, "a", 1500000, 1);
    scan_now(&s);
    kept.catalog = &s.catalog;
    struct reader r = { .root_fd = root.raw,
                        .catalog = &s.catalog,
                        .before = &none,
                        .seed = &seed,
                        .until = fixture_soon(),
                        .put = put,
                        .put_arg = &kept,
                        .buffer = buffer };
    cr_assert(reader_read(&r, 1, &outcome, &err), "%s", err.msg);
    cr_assert_eq(outcome, READER_MOVED);
    cr_assert_eq(s.catalog.items[1].size, expected);
    uint64_t sum = 0;
    const struct item *item = &s.catalog.items[1];
    for (size_t j = 0; j < item->ref_count; j++)
        sum += s.catalog.refs[item->first_ref + j].plain_len;
    cr_assert_eq(sum, expected);
}

Test(reader, growing_file_is_cut_at_the_size_seen) { read_while(append_meanwhile, 1500000); }
Test(reader, shrinking_file_gives_a_whole_entry) { read_while(cut_meanwhile, 600000); }

Test(reader, past_deadline_ends_the_reading)
{
    CLEANUP(scan_fini) struct scan s = { 0 };
    struct err err = { 0 };
    enum reader_outcome outcome;
    fixture_write(&f, "a", "1", 1);
    scan_now(&s);
    struct kept kept = { .catalog = &s.catalog };
    struct reader r = { .root_fd = root.raw,
                        .catalog = &s.catalog,
                        .before = &none,
                        .seed = &seed,
                        .put = keep,
                        .put_arg = &kept,
                        .buffer = buffer };
    cr_assert_not(reader_read(&r, 1, &outcome, &err));
    cr_assert_eq(err.kind, ERR_UNAVAILABLE);
}
