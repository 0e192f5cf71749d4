/* The file backend on a directory of its own. */
#include "common/base/file.h"
#include "common/base/own.h"
#include "tests/contract/store_contract.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct directory {
    char path[64], url[128];
};

static void *place_new(void)
{
    struct directory *d = mem_new(struct directory);
    (void)snprintf(d->path, sizeof(d->path), "/tmp/store-contract-XXXXXX");
    cr_assert_not_null(mkdtemp(d->path));
    (void)snprintf(d->url, sizeof(d->url), "file://%s?create=true", d->path);
    return d;
}

static struct store *connect_to(void *place)
{
    struct directory *d = place;
    struct store *store;
    struct err err = { 0 };
    cr_assert(store_open(d->url, NULL, &store, &err), "%s", err.msg);
    return store;
}

static void place_free(void *place)
{
    struct directory *d = place;
    struct err err = { 0 };
    cr_assert(dir_remove_tree(d->path, &err), "%s", err.msg);
    free(d);
}

/* What an unmount leaves: an empty directory where the store was. */
static void vanish(void *place)
{
    struct directory *d = place;
    struct err err = { 0 };
    cr_assert(dir_remove_tree(d->path, &err), "%s", err.msg);
    cr_assert(dir_make(d->path, 0700, &err), "%s", err.msg);
}

static const struct contract_store file_backend = {
    .name = "file",
    .features = STORE_REGISTER | STORE_PACKS | STORE_WATCH,
    .place_new = place_new,
    .connect = connect_to,
    .place_free = place_free,
    .vanish = vanish,
};

#define STAMP(what) STORE_CONTRACT_TEST(file, what)
STORE_CONTRACT_CASES(STAMP)
