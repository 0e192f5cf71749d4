#include "sidecar/store/known.h"

#include "common/base/file.h"
#include "common/base/own.h"
#include "common/base/text.h"
#include "common/json/json.h"
#include "common/json/out.h"
#include "sidecar/crypto/keys.h"

#include <fcntl.h>

#define NOTE_MAX_BYTES ((size_t)8192) /* a URL of which each byte is escaped, and the id */

struct note {
    int64_t format;
    uint8_t id[STORE_ID_BYTES];
    char url[STORE_URL_MAX]; /* for people */
};
static const struct json_field note_rows[] = {
    JSON_INT_ROW(struct note, "store_note", format, JSON_REQUIRED, 1, 1),
    JSON_HEX_ROW(struct note, "id", id, JSON_REQUIRED),
    JSON_TEXT_ROW(struct note, "url", url, JSON_REQUIRED, 1),
};
static const struct json_table note_table = JSON_TABLE(note_rows);

/* No name that begins with the key file's: a path that is cut must never be the key's. */
char *store_memory_beside(const char *key_file)
{
    const char *slash = strrchr(key_file, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - key_file) + 1;
    CLEANUP(str_freep) char *dir = str_copy_n(key_file, len);
    return str_format("%s" KNOWN_DIR, dir);
}

/* "/srv//agents/./x/" and "/srv/agents/x" are one place. Links are not resolved: what they lead to
 * is another place when something is not mounted. */
static void put_place(struct buf *out, const char *place)
{
    while (*place != '\0') {
        size_t len = strcspn(place, "/");
        if (len > 0 && !(len == 1 && *place == '.')) {
            buf_put_u8(out, '/');
            buf_put(out, view_of(place, len));
        }
        place += len + (place[len] == '/');
    }
}

void known_init(struct known *known, const struct store_memory *memory, const char *place)
{
    *known = (struct known){ 0 };
    if (memory == NULL)
        return;
    CLEANUP(buf_fini) struct buf plain = { 0 };
    uint8_t digest[CRYPTO_HASH_BYTES];
    put_place(&plain, place);
    crypto_digest(buf_view(&plain), digest);
    hex_encode(view_of(digest, KNOWN_NAME_BYTES), known->name);
    known->dir = str_copy(memory->dir);
    known->path = str_format("%s/%s", memory->dir, known->name);
    known->is_fixed = memory->is_fixed;
}

void known_fini(struct known *known)
{
    str_freep(&known->path);
    str_freep(&known->dir);
}

/* What the kernel refused for good, and what may be otherwise later. */
static bool failed(struct err *err)
{
    if (err->kind != ERR_SYSTEM)
        return false;
    bool is_refused = err->os_errno == EACCES || err->os_errno == EPERM || err->os_errno == EROFS;
    err->kind = is_refused ? ERR_DENIED : ERR_UNAVAILABLE;
    return false;
}

bool known_read(const struct known *known, bool *out_is_noted, uint8_t id[STORE_ID_BYTES],
                struct err *err)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    struct note note;
    struct err why = { 0 };
    *out_is_noted = false;
    if (known->path == NULL)
        return true;
    if (!file_read(AT_FDCWD, known->path, NOTE_MAX_BYTES, &text, &why)) {
        if (why.kind == ERR_NOT_FOUND)
            return true;
        *err = why;
        (void)failed(err);
        return err_wrap(err, "note %s in " KNOWN_DIR, known->name);
    }
    if (!json_read(buf_view(&text), "text", NOTE_MAX_BYTES, &note_table, &note, err)) {
        err->kind = ERR_CORRUPT;
        return err_wrap(err, "note %s in " KNOWN_DIR " is damaged", known->name);
    }
    memcpy(id, note.id, STORE_ID_BYTES);
    *out_is_noted = true;
    return true;
}

static void put_note(struct buf *out, const char *url, const uint8_t id[STORE_ID_BYTES])
{
    struct json_out o = json_out_to(out);
    json_out_object(&o, NULL);
    json_out_int(&o, "store_note", 1);
    json_out_hex(&o, "id", view_of(id, STORE_ID_BYTES));
    json_out_text(&o, "url", url);
    json_out_close(&o);
    json_out_finish(&o);
    buf_put_u8(out, '\n');
}

bool known_note(const struct known *known, const char *url, const uint8_t id[STORE_ID_BYTES],
                struct err *err)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    struct err why = { 0 };
    uint8_t other[STORE_ID_BYTES];
    bool is_noted;
    if (known->path == NULL || known->is_fixed)
        return true;
    put_note(&text, url, id);
    if (dir_make(known->dir, 0755, &why) &&
        file_publish(AT_FDCWD, known->path, buf_view(&text), 0644, FILE_EXCLUSIVE, &why))
        return true;
    if (why.kind != ERR_CONFLICT) {
        *err = why;
        return failed(err);
    }
    if (!known_read(known, &is_noted, other, err))
        return false;
    return (is_noted && memcmp(other, id, STORE_ID_BYTES) == 0) ||
           err_set(err, ERR_UNAVAILABLE, "another store was noted at this instant");
}
