#include "driver/plugin/status.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "driver/proto/types.pb-c.h"

#include <assert.h>

#define RECOVERABLE_URL \
    "type.googleapis.com/hashicorp.nomad.plugins.shared.structs.RecoverableError"

static const struct {
    enum rpc_code start, other;
    bool is_recoverable;
} rows[] = {
    [ERR_NONE] = { RPC_UNKNOWN, RPC_UNKNOWN, false },
    [ERR_INVALID] = { RPC_INVALID_ARGUMENT, RPC_INVALID_ARGUMENT, false },
    [ERR_NOT_FOUND] = { RPC_NOT_FOUND, RPC_NOT_FOUND, false },
    [ERR_DENIED] = { RPC_PERMISSION_DENIED, RPC_PERMISSION_DENIED, false },
    [ERR_CONFLICT] = { RPC_ALREADY_EXISTS, RPC_FAILED_PRECONDITION, false },
    [ERR_FENCED] = { RPC_FAILED_PRECONDITION, RPC_FAILED_PRECONDITION, false },
    [ERR_UNAVAILABLE] = { RPC_INTERNAL, RPC_INTERNAL, true },
    [ERR_CORRUPT] = { RPC_DATA_LOSS, RPC_DATA_LOSS, false },
    [ERR_SYSTEM] = { RPC_INTERNAL, RPC_INTERNAL, false },
};
_Static_assert(COUNT(rows) == ERR_KIND_COUNT, "a row for each kind");

enum rpc_code status_code(enum err_kind kind, enum status_use use)
{
    assert(kind > ERR_NONE && kind < ERR_KIND_COUNT);
    return use == STATUS_START ? rows[kind].start : rows[kind].other;
}

static void put_recoverable(struct buf *out, enum rpc_code code, char *text)
{
    Nd__RecoverableError yes = ND__RECOVERABLE_ERROR__INIT;
    yes.recoverable = true;
    uint8_t bytes[8];
    char url[] = RECOVERABLE_URL;
    assert(nd__recoverable_error__get_packed_size(&yes) <= sizeof(bytes));
    Nd__Any any = ND__ANY__INIT, *details[] = { &any };
    any.type_url = url;
    any.value = (ProtobufCBinaryData){ nd__recoverable_error__pack(&yes, bytes), bytes };
    Nd__Status status = ND__STATUS__INIT;
    status.code = (int32_t)code; /* must be the call's own code */
    status.message = text;
    status.details = details;
    status.n_details = COUNT(details);
    size_t len = nd__status__get_packed_size(&status);
    out->len += nd__status__pack(&status, buf_reserve(out, len));
}

void status_end(struct rpc_call *call, const struct err *err, enum status_use use)
{
    enum rpc_code code = status_code(err->kind, use);
    CLEANUP(buf_fini) struct buf text = { 0 };
    CLEANUP(buf_fini) struct buf details = { 0 };
    utf8_put_clean(&text, view_str(err->msg));
    CLEANUP(str_freep) char *clean = str_copy_n(text.len > 0 ? (char *)text.data : "", text.len);
    if (use == STATUS_START && rows[err->kind].is_recoverable)
        put_recoverable(&details, code, clean);
    rpc_call_end(call, &(struct rpc_status){ code, clean, buf_view(&details) });
}
