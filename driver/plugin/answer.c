#include "driver/plugin/answer.h"

#include "common/base/own.h"

static void peer_gone(void *arg) { ((struct answer *)arg)->call = NULL; }

struct answer *answer_new(struct rpc_call *call, enum status_use use)
{
    struct answer *answer = mem_new(struct answer);
    answer->call = call;
    answer->use = use;
    rpc_call_hold(call, &(struct rpc_hold){ peer_gone, NULL, answer });
    return answer;
}

static void answer_free(struct answer *answer)
{
    buf_fini(&answer->kept);
    free(answer);
}

void answer_send(struct answer *answer, struct view message)
{
    if (answer->call != NULL)
        rpc_call_reply(answer->call, message);
    answer_free(answer);
}

void answer_fail(struct answer *answer, const struct err *err)
{
    if (answer->call != NULL)
        status_end(answer->call, err, answer->use);
    answer_free(answer);
}

void answer_done(void *answer, const struct err *err)
{
    if (err != NULL)
        answer_fail(answer, err);
    else
        answer_send(answer, (struct view){ 0 });
}
