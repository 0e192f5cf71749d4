/* The fake passes what the real stores must pass. */
#include "sidecar/store/mem.h"

#include "tests/contract/store_contract.h"

#include <criterion/criterion.h>

static void *place_new(void) { return mem_server_new(); }
static struct store *connect_to(void *place) { return mem_server_connect(place); }
static void place_free(void *place) { mem_server_free(place); }
static void lose_next_reply(void *place) { mem_server_script(place, MEM_WRITE, MEM_LOSE_REPLY, 1); }

static enum mem_fault no_answer(void *arg, enum mem_op op, const char *name)
{
    (void)arg, (void)op, (void)name;
    return MEM_LOSE_REQUEST;
}
static void vanish(void *place) { mem_server_hook(place, no_answer, NULL); }

static const struct contract_store mem_backend = {
    .name = "mem",
    .features = STORE_REGISTER | STORE_PACKS | STORE_WATCH | STORE_AGE,
    .place_new = place_new,
    .connect = connect_to,
    .place_free = place_free,
    .lose_next_reply = lose_next_reply,
    .vanish = vanish,
};

#define STAMP(what) STORE_CONTRACT_TEST(mem, what)
STORE_CONTRACT_CASES(STAMP)
