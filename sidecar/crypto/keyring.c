#include "sidecar/crypto/keyring.h"

#include "common/base/fd.h"
#include "common/base/file.h"
#include "common/base/own.h"
#include "common/base/text.h"
#include "common/secret/secret.h"

#include <sodium.h>

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define KEYRING_MAGIC  0x72696e67u
#define KEY_BYTES      32
#define KEY_ID_BYTES   8
#define NONCE_BYTES    crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_BYTES      crypto_aead_xchacha20poly1305_ietf_ABYTES
#define FILE_WORD      "agent-key 1 "
#define FILE_WORD_LEN  (sizeof(FILE_WORD) - 1)
#define FILE_BYTES     (FILE_WORD_LEN + 2 * KEY_ID_BYTES + 1 + 2 * KEY_BYTES + 1)
#define FILE_MAX       ((size_t)256) /* longer is another kind of file */
#define KEY_TEXT_AT    (FILE_WORD_LEN + 2 * KEY_ID_BYTES + 1)
#define ID_CONTEXT     "agent key id"
#define WRAP_CONTEXT   "agent data key"
#define WRAP_MAGIC_LEN 4
static const uint8_t wrap_magic[WRAP_MAGIC_LEN] = { 'A', 'W', 'K', '1' };
_Static_assert(KEYRING_WRAPPED_BYTES ==
                   WRAP_MAGIC_LEN + KEY_ID_BYTES + NONCE_BYTES + KEY_BYTES + TAG_BYTES,
               "wrapped: magic, key id, nonce, key, tag");

struct keyring {
    unsigned magic;
    struct secret *key;
    uint8_t id[KEY_ID_BYTES];
    char id_text[KEYRING_ID_TEXT];
    char *path;
};

/* The id is a keyed hash of a constant: it says nothing about the key. */
static bool id_of(const unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    (void)err;
    uint8_t full[CRYPTO_HASH_BYTES];
    (void)crypto_generichash(full, sizeof(full), (const unsigned char *)ID_CONTEXT,
                             sizeof(ID_CONTEXT) - 1, bytes, len);
    memcpy(arg, full, KEY_ID_BYTES);
    return true;
}

struct key_text {
    const unsigned char *text; /* the file's content, while it is in use */
};

static bool key_from_hex(unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    const struct key_text *from = arg;
    size_t got = 0;
    if (sodium_hex2bin(bytes, len, (const char *)from->text + KEY_TEXT_AT, 2 * len, NULL, &got,
                       NULL) != 0 ||
        got != len)
        return err_set(err, ERR_CORRUPT, "not 64 hex digits where the key stands");
    return true;
}

/* The one line: word, version, id, key. The id is a check sum of the key. */
static bool parse_file(const unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    struct keyring *ring = arg;
    uint8_t told[KEY_ID_BYTES];
    if (len < FILE_WORD_LEN || memcmp(bytes, FILE_WORD, FILE_WORD_LEN) != 0)
        return err_set(err, ERR_CORRUPT, "does not begin with \"" FILE_WORD "\"");
    if (len != FILE_BYTES || bytes[len - 1] != '\n' || bytes[KEY_TEXT_AT - 1] != ' ')
        return err_set(err, ERR_CORRUPT, "%zu bytes, not one line of %zu", len, FILE_BYTES);
    if (!hex_decode(view_of(bytes + FILE_WORD_LEN, 2 * KEY_ID_BYTES), told, sizeof(told), err))
        return err_set(err, ERR_CORRUPT, "no key id of 16 hex digits");
    struct key_text from = { bytes };
    if (!secret_make(KEY_BYTES, key_from_hex, &from, &ring->key, err) ||
        !secret_use(ring->key, id_of, ring->id, err))
        return false;
    if (memcmp(told, ring->id, KEY_ID_BYTES) != 0)
        return err_set(err, ERR_CORRUPT, "the key does not have the id that stands before it");
    hex_encode(view_of(ring->id, KEY_ID_BYTES), ring->id_text);
    return true;
}

static bool is_private(int fd, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(err, errno, "stat");
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return err_set(err, ERR_DENIED, "owned by user %u, not by us or root", st.st_uid);
    if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0 && S_ISREG(st.st_mode))
        return err_set(err, ERR_DENIED, "mode %04o lets others in; set it to 0600",
                       st.st_mode & 07777);
    return true;
}

/* Whom the kernel denies a file, an operator must give it. */
static bool as_denied(bool good, struct err *err)
{
    if (!good && (err->os_errno == EACCES || err->os_errno == EPERM || err->os_errno == EROFS))
        err->kind = ERR_DENIED;
    return good;
}

static bool load(const char *path, struct keyring *ring, struct err *err)
{
    CLEANUP(fd_closep)
    struct fd file = { open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) };
    if (file.raw < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "no such file");
    if (file.raw < 0 && errno == ELOOP)
        return err_set(err, ERR_INVALID, "is a symbolic link, name the file itself");
    if (file.raw < 0)
        return as_denied(err_sys(err, errno, "open"), err);
    CLEANUP(secret_freep) struct secret *text = NULL;
    return is_private(file.raw, err) && secret_read_fd(file.raw, path, FILE_MAX, &text, err) &&
           secret_use(text, parse_file, ring, err);
}

struct new_file {
    const char *path;
    struct secret *key;
};

static bool text_of_key(const unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    (void)err;
    char *line = arg;
    uint8_t id[KEY_ID_BYTES];
    (void)id_of(bytes, len, id, err);
    memcpy(line, FILE_WORD, FILE_WORD_LEN);
    hex_encode(view_of(id, sizeof(id)), line + FILE_WORD_LEN);
    line[KEY_TEXT_AT - 1] = ' ';
    (void)sodium_bin2hex(line + KEY_TEXT_AT, 2 * len + 1, bytes, len);
    line[FILE_BYTES - 1] = '\n';
    return true;
}

static bool fill_line(unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    assert(len == FILE_BYTES + 1);
    return secret_use(((struct new_file *)arg)->key, text_of_key, bytes, err);
}

static bool publish_line(const unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    const struct new_file *file = arg;
    return file_publish(AT_FDCWD, file->path, view_of(bytes, len - 1), 0600, FILE_EXCLUSIVE, err);
}

static bool make_parent(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path)
        return true;
    CLEANUP(str_freep) char *dir = str_copy_n(path, (size_t)(slash - path));
    return dir_make(dir, 0700, err);
}

/* Somebody else may publish first: theirs is the key then, and ours was never used. */
static bool make_file(const char *path, struct err *err)
{
    if (!make_parent(path, err))
        return false;
    CLEANUP(secret_freep) struct secret *key = secret_random(KEY_BYTES);
    CLEANUP(secret_freep) struct secret *line = NULL;
    struct new_file file = { path, key };
    if (!secret_make(FILE_BYTES + 1, fill_line, &file, &line, err))
        return false;
    return secret_use(line, publish_line, &file, err) || err->kind == ERR_CONFLICT;
}

bool keyring_open(const char *path, bool may_create, struct keyring **out, struct err *err)
{
    CLEANUP(keyring_closep) struct keyring *ring = mem_new(struct keyring);
    ring->magic = KEYRING_MAGIC;
    ring->path = str_copy(path);
    struct err why = { 0 };
    bool good = load(path, ring, &why);
    if (!good && why.kind == ERR_NOT_FOUND && may_create) {
        struct err made = { 0 };
        if (!as_denied(make_file(path, &made), &made)) {
            *err = made;
            return err_wrap(err, "make key file");
        }
        why = (struct err){ 0 };
        good = load(path, ring, &why);
    }
    if (!good) {
        *err = why;
        return err_wrap(err, "key file \"%s\"", path);
    }
    *out = STEAL(ring);
    return true;
}

void keyring_close(struct keyring *keyring)
{
    if (keyring == NULL)
        return;
    assert(keyring->magic == KEYRING_MAGIC);
    secret_free(keyring->key);
    free(keyring->path);
    keyring->magic = 0;
    free(keyring);
}

const char *keyring_borrow_id(const struct keyring *keyring) { return keyring->id_text; }

/* What a wrapped key is bound to: its purpose and its agent. */
static void put_ad(struct buf *ad, const char *name)
{
    buf_put_str(ad, WRAP_CONTEXT);
    buf_put_u8(ad, 0);
    buf_put_str(ad, name);
}

struct wrapping {
    const struct keyring *ring;
    struct view ad;
    uint8_t *out;             /* wrap: all of it */
    const uint8_t *wrapped;   /* unwrap */
    const unsigned char *key; /* the data key, while in use */
    unsigned char *plain;
};

static bool wrap_with(const unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    (void)len, (void)err;
    struct wrapping *w = arg;
    uint8_t *nonce = w->out + WRAP_MAGIC_LEN + KEY_ID_BYTES;
    randombytes_buf(nonce, NONCE_BYTES);
    return crypto_aead_xchacha20poly1305_ietf_encrypt(nonce + NONCE_BYTES, NULL, w->key, KEY_BYTES,
                                                      w->ad.data, w->ad.len, NULL, nonce,
                                                      bytes) == 0;
}

static bool wrap_key(const unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    (void)len;
    struct wrapping *w = arg;
    w->key = bytes;
    return secret_use(w->ring->key, wrap_with, w, err);
}

void keyring_wrap_new(const struct keyring *keyring, const char *name,
                      uint8_t out_wrapped[KEYRING_WRAPPED_BYTES])
{
    CLEANUP(secret_freep) struct secret *data_key = secret_random(KEY_BYTES);
    CLEANUP(buf_fini) struct buf ad = { 0 };
    put_ad(&ad, name);
    memcpy(out_wrapped, wrap_magic, WRAP_MAGIC_LEN);
    memcpy(out_wrapped + WRAP_MAGIC_LEN, keyring->id, KEY_ID_BYTES);
    struct wrapping w = { .ring = keyring, .ad = buf_view(&ad), .out = out_wrapped };
    struct err none = { 0 };
    bool good = secret_use(data_key, wrap_key, &w, &none);
    assert(good);
}

static bool unwrap_with(const unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    (void)len;
    struct wrapping *w = arg;
    const uint8_t *nonce = w->wrapped + WRAP_MAGIC_LEN + KEY_ID_BYTES;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(w->plain, NULL, NULL, nonce + NONCE_BYTES,
                                                   KEY_BYTES + TAG_BYTES, w->ad.data, w->ad.len,
                                                   nonce, bytes) != 0)
        return err_set(err, ERR_CORRUPT, "the wrapped data key was changed, or is another agent's");
    return true;
}

static bool fill_data_key(unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    assert(len == KEY_BYTES);
    struct wrapping *w = arg;
    w->plain = bytes;
    return secret_use(w->ring->key, unwrap_with, w, err);
}

void keyring_wrapped_id(const uint8_t wrapped[KEYRING_WRAPPED_BYTES], char out[KEYRING_ID_TEXT])
{
    hex_encode(view_of(wrapped + WRAP_MAGIC_LEN, KEY_ID_BYTES), out);
}

static bool check_wrapped(const struct keyring *keyring, struct view wrapped, struct err *err)
{
    if (wrapped.len != KEYRING_WRAPPED_BYTES ||
        memcmp(wrapped.data, wrap_magic, WRAP_MAGIC_LEN) != 0)
        return err_set(err, ERR_CORRUPT, "not a wrapped data key (%zu bytes)", wrapped.len);
    if (memcmp(wrapped.data + WRAP_MAGIC_LEN, keyring->id, KEY_ID_BYTES) == 0)
        return true;
    char other[KEYRING_ID_TEXT];
    keyring_wrapped_id(wrapped.data, other);
    return err_set(err, ERR_CORRUPT, "wrapped by key %s, but key file \"%s\" holds key %s", other,
                   keyring->path, keyring->id_text);
}

bool keyring_unwrap(const struct keyring *keyring, const char *name, struct view wrapped,
                    struct agent_keys **out, struct err *err)
{
    assert(keyring->magic == KEYRING_MAGIC);
    CLEANUP(buf_fini) struct buf ad = { 0 };
    put_ad(&ad, name);
    CLEANUP(secret_freep) struct secret *data_key = NULL;
    struct wrapping w = { .ring = keyring, .ad = buf_view(&ad), .wrapped = wrapped.data };
    if (!check_wrapped(keyring, wrapped, err) ||
        !secret_make(KEY_BYTES, fill_data_key, &w, &data_key, err))
        return err_wrap(err, "data key of agent \"%s\"", name);
    *out = agent_keys_new(data_key);
    return true;
}
