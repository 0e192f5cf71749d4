/* fake_test.h - a plugin for tests: a script prints the handshake, this process answers the calls.
 *
 * Only for the tests of this room. The script ends when the file `stop` appears, which the answer
 * to GRPCController/Shutdown makes. */
#pragma once
#include "common/base/file.h"
#include "common/base/own.h"
#include "common/loop/loop.h"
#include "driver/rpc/server.h"
#include "driver/rpc/socket.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define FAKE_BASE   "/hashicorp.nomad.plugins.base.proto.BasePlugin/"
#define FAKE_DRIVER "/hashicorp.nomad.plugins.drivers.proto.Driver/"

struct fake {
    struct loop *loop;
    struct rpc *rpc;
    struct rpc_server *server;
    char *dir, *script, *log, *stop;
    struct buf calls; /* "PluginInfo SetConfig ..." in the order they came */
    bool is_served;
    void *owner; /* of the test */
};

static inline void fake_note(void *arg, const char *name)
{
    struct fake *f = arg;
    buf_put_fmt(&f->calls, "%s%s", f->calls.len ? " " : "", name);
}

/* Writes the script: `body` is what it does. */
static inline void fake_script(struct fake *f, const char *body)
{
    CLEANUP(str_freep) char *text = str_format("#!/bin/sh\n%s\n", body);
    struct err err = { 0 };
    cr_assert(file_publish(AT_FDCWD, f->script, view_str(text), 0755, FILE_REPLACE, &err), "%s",
              err.msg);
}

static inline struct fake *fake_new(void)
{
    struct fake *f = mem_new(struct fake);
    char dir[] = "/tmp/fake.XXXXXX";
    cr_assert_not_null(mkdtemp(dir));
    f->dir = str_copy(dir);
    f->script = str_format("%s/plugin", dir);
    f->log = str_format("%s/log", dir);
    f->stop = str_format("%s/stop", dir);
    f->loop = loop_new();
    f->rpc = rpc_new(f->loop);
    return f;
}

/* Serves `methods` (their arg is the fake) and writes a script that leads to them. */
static inline void fake_serve(struct fake *f, const struct rpc_method *methods, size_t count)
{
    CLEANUP(str_freep) char *path = str_format("%s/socket", f->dir);
    CLEANUP(str_freep)
    char *body = str_format("echo '1|2|unix|%s|grpc|'\n"
                            "while [ ! -e %s ]; do sleep 0.02; done",
                            path, f->stop);
    struct fd listener = FD_NONE;
    struct err err = { 0 };
    cr_assert(socket_listen(path, &listener, &err), "%s", err.msg);
    f->server = rpc_server_new(f->rpc, listener, &(struct rpc_server_spec){ methods, count, f });
    f->is_served = true;
    fake_script(f, body);
}

static inline void fake_on_shutdown(void *arg, struct rpc_call *call, struct view request)
{
    struct fake *f = arg;
    struct err err;
    (void)request;
    rpc_call_reply(call, view_of("", 0));
    cr_assert(file_publish(AT_FDCWD, f->stop, view_str(""), 0600, FILE_REPLACE, &err));
}

static inline void fake_quit(void *arg)
{
    struct fake *f = arg;
    loop_quit(f->loop);
}

static inline void fake_server_stopped(void *arg)
{
    struct fake *f = arg;
    rpc_stop(f->rpc, fake_quit, f);
}

/* Stops the server and the library and removes the files. */
static inline void fake_free(struct fake *f)
{
    struct err err;
    if (f->is_served)
        rpc_server_stop(f->server, 0, fake_server_stopped, f);
    else
        rpc_stop(f->rpc, fake_quit, f);
    loop_run(f->loop);
    rpc_server_free(f->server);
    rpc_free(f->rpc);
    loop_free(f->loop);
    cr_assert(dir_remove_tree(f->dir, &err), "%s", err.msg);
    buf_fini(&f->calls);
    free(f->dir);
    free(f->script);
    free(f->log);
    free(f->stop);
    free(f);
}
