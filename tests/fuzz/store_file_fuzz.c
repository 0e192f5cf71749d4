// rooms: sidecar/store
/* The small files of a file store, of any content: the first byte chooses record, marker or the
 * node's note. They are read whole, or refused as CORRUPT, or taken for another store; never
 * changed. */
#include "sidecar/store/known.h"

#include "common/base/fd.h"
#include "common/base/file.h"
#include "common/base/own.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#define MARKER "{\"agent_store\":1,\"id\":\"000102030405060708090a0b0c0d0e0f\"}\n"
#define RECORD "agent-register 1 1 0123456789abcdef 3\none"

static void put(const char *path, struct view bytes)
{
    struct err err = { 0 };
    const int how = O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC; /* not published: no sync */
    CLEANUP(fd_closep) struct fd file = { open(path, how, 0600) };
    assert(fd_is_open(file) && fd_write_all(file.raw, bytes.data, bytes.len, &err));
}

/* The note's path is a digest of the store's. */
static char *note_of(const struct store_memory *memory, const char *root)
{
    struct known known;
    known_init(&known, memory, root);
    char *path = str_copy(known.path);
    known_fini(&known);
    return path;
}

static void read_all(struct store *store, int which, struct view given)
{
    CLEANUP(buf_fini) struct buf got = { 0 };
    struct store_version version = { 0 };
    struct err err = { 0 };
    if (store_read(store, "a", deadline_after(boot_now(), 10000, 0), &got, &version, &err)) {
        assert(memchr(version.text, '\0', sizeof version.text) != NULL);
        assert(which != 0 ||
               (got.len < given.len && memmem(given.data, given.len, got.data, got.len) != NULL));
    } else {
        assert(err.kind == ERR_CORRUPT || (which != 0 && err.kind == ERR_UNAVAILABLE));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char root[] = "/tmp/store-file-fuzz-XXXXXX";
    struct err err = { 0 };
    if (size == 0 || size > STORE_RECORD_MAX)
        return 0;
    assert(mkdtemp(root) != NULL);
    CLEANUP(str_freep) char *agents = str_format("%s/agents", root);
    CLEANUP(str_freep) char *agent = str_format("%s/agents/a", root);
    CLEANUP(str_freep) char *record = str_format("%s/record", agent);
    CLEANUP(str_freep) char *marker = str_format("%s/agent-store", root);
    CLEANUP(str_freep) char *notes = str_format("%s/notes", root);
    CLEANUP(str_freep) char *url = str_format("file://%s", root);
    const struct store_memory memory = { notes, true };
    CLEANUP(str_freep) char *note = note_of(&memory, root);
    const char *const paths[] = { record, marker, note };
    const int which = data[0] % COUNT(paths);
    const struct view given = view_of(data + 1, size - 1);
    CLEANUP(store_closep) struct store *store = NULL;
    CLEANUP(buf_fini) struct buf after = { 0 };
    assert(mkdir(agents, 0700) == 0 && mkdir(agent, 0700) == 0 && mkdir(notes, 0700) == 0);
    put(record, view_str(RECORD));
    put(marker, view_str(MARKER));
    put(paths[which], given);
    assert(store_open(url, &memory, &store, &err));
    read_all(store, which, given);
    assert(file_read(AT_FDCWD, paths[which], size, &after, &err));
    assert(view_is_equal(buf_view(&after), given));
    assert(dir_remove_tree(root, &err));
    return 0;
}
