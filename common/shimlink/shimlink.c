#include "common/shimlink/shimlink.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/base/own.h"
#include "common/loop/loop.h"
#include "common/shimwire/msg.h"

#define LINK_MAGIC 0x6c696e6bU /* "link" */

/* Messages read in one turn, so that a chatty shim cannot starve the others. */
#define READS_A_TURN 16

struct packet {
    size_t len;
    uint8_t bytes[SHIM_MSG_MAX];
};

/* What is posted to the loop; outlives a link that is freed before it arrives. */
struct notice {
    struct shimlink *link;
    struct err why;
};

struct shimlink {
    unsigned magic;
    struct loop *loop;
    struct fd socket;
    struct loop_watch *watch;
    unsigned direction;
    struct shimlink_events events;
    struct ucred peer;
    struct packet *queue; /* ring of SHIMLINK_QUEUE_MAX, made when first needed */
    size_t first, count;
    struct notice *broken; /* a send failed, which on_closed tells on the next turn */
    bool is_dead;
    bool is_reading; /* in on_ready: shimlink_free only marks */
    bool is_freed;
};

static void link_die(struct shimlink *link, const struct err *why)
{
    if (link->is_dead)
        return;
    link->is_dead = true;
    loop_watch_freep(&link->watch);
    fd_closep(&link->socket);
    if (link->events.on_closed)
        link->events.on_closed(link->events.arg, why);
}

static bool errno_is_gone(int code)
{
    return code == EPIPE || code == ECONNRESET || code == ENOTCONN || code == ECONNREFUSED;
}

/* False: nothing more now, or ever. */
static bool link_read(struct shimlink *link)
{
    struct packet in;
    const ssize_t got = recv(link->socket.raw, in.bytes, sizeof(in.bytes),
                             MSG_DONTWAIT | MSG_TRUNC);
    struct err why = { 0 };
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got <= 0) {
        if (got == 0 || errno_is_gone(errno))
            (void)err_set(&why, ERR_UNAVAILABLE, "shim link: closed by the peer");
        else
            (void)err_sys(&why, errno, "read shim link");
        link_die(link, &why);
        return false;
    }
    struct shim_msg msg;
    if ((size_t)got > sizeof(in.bytes))
        (void)err_set(&why, ERR_CORRUPT, "shim link: message of %zd bytes", got);
    else if (shim_msg_decode(view_of(in.bytes, (size_t)got), link->direction, &msg, &why)) {
        link->events.on_message(link->events.arg, &msg);
        return !link->is_freed && !link->is_dead;
    } else if (why.kind == ERR_NOT_FOUND) {
        return true; /* a later build has more to say */
    }
    link_die(link, &why);
    return false;
}

/* True when sent; false with errno when not. */
static bool packet_send(const struct shimlink *link, const struct packet *out)
{
    return send(link->socket.raw, out->bytes, out->len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static void link_flush(struct shimlink *link)
{
    while (link->count) {
        if (!packet_send(link, &link->queue[link->first]))
            break; /* EAGAIN: later; a dead socket is found by the next read */
        link->first = (link->first + 1) % SHIMLINK_QUEUE_MAX;
        link->count--;
    }
    if (link->count == 0)
        loop_watch_change(link->watch, LOOP_READ);
}

static void link_release(struct shimlink *link)
{
    free(link->queue);
    link->magic = 0;
    free(link);
}

static void on_ready(void *arg, unsigned events)
{
    struct shimlink *link = arg;
    assert(link->magic == LINK_MAGIC && !link->is_freed);
    link->is_reading = true;
    if (events & LOOP_WRITE)
        link_flush(link);
    if (events & (LOOP_READ | LOOP_HUP))
        for (int i = 0; i < READS_A_TURN && link_read(link); i++)
            ;
    link->is_reading = false;
    if (link->is_freed)
        link_release(link);
}

struct shimlink *shimlink_new(struct loop *loop, struct fd socket, unsigned direction,
                              const struct shimlink_events *events)
{
    assert(fd_is_open(socket) && events->on_message);
    struct shimlink *link = mem_new(struct shimlink);
    *link = (struct shimlink){ .magic = LINK_MAGIC,
                               .loop = loop,
                               .socket = socket,
                               .direction = direction,
                               .events = *events };
    socklen_t len = sizeof(link->peer);
    if (getsockopt(socket.raw, SOL_SOCKET, SO_PEERCRED, &link->peer, &len) < 0)
        link->peer = (struct ucred){ .pid = 0, .uid = (uid_t)-1 };
    link->watch = loop_watch_new(loop, socket.raw, LOOP_READ, on_ready, link);
    return link;
}

static bool link_connect(const char *path, struct fd *out, struct err *err)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    const size_t len = strlen(path);
    if (len >= sizeof(to.sun_path))
        return err_set(err, ERR_INVALID, "connect to \"%s\": %zu bytes, at most %zu are allowed",
                       path, len, sizeof(to.sun_path) - 1);
    memcpy(to.sun_path, path, len + 1);
    CLEANUP(fd_closep)
    struct fd sock = { socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) };
    if (sock.raw < 0)
        return err_sys(err, errno, "create socket");
    if (connect(sock.raw, (const struct sockaddr *)&to, sizeof(to)) == 0) {
        *out = fd_take(&sock);
        return true;
    }
    if (errno == ENOENT || errno == ECONNREFUSED)
        return err_set(err, ERR_NOT_FOUND, "connect to \"%s\": nobody listens", path);
    if (errno == EAGAIN)
        return err_set(err, ERR_UNAVAILABLE, "connect to \"%s\": busy", path);
    return err_sys(err, errno, "connect to \"%s\"", path);
}

bool shimlink_open(struct loop *loop, const char *path, const struct shimlink_events *events,
                   struct shimlink **out, struct err *err)
{
    CLEANUP(fd_closep) struct fd sock = FD_NONE;
    if (!link_connect(path, &sock, err))
        return false;
    CLEANUP(shimlink_freep)
    struct shimlink *link = shimlink_new(loop, fd_take(&sock), SHIM_TELLS_DRIVER, events);
    if (link->peer.uid != 0 && link->peer.uid != geteuid())
        return err_set(err, ERR_DENIED, "connect to \"%s\": listener is of user %u", path,
                       link->peer.uid);
    *out = STEAL(link);
    return true;
}

void shimlink_free(struct shimlink *link)
{
    if (!link)
        return;
    assert(link->magic == LINK_MAGIC && !link->is_freed);
    if (link->broken)
        link->broken->link = NULL;
    loop_watch_freep(&link->watch);
    fd_closep(&link->socket);
    link->is_freed = true;
    if (!link->is_reading)
        link_release(link);
}

static void on_broken(void *arg)
{
    struct notice *notice = arg;
    struct shimlink *link = notice->link;
    if (link) {
        link->broken = NULL;
        link_die(link, &notice->why);
    }
    free(notice);
}

/* Posted, not watched for: the socket of a peer that reads nothing becomes ready for nothing. */
static bool link_break(struct shimlink *link, const struct err *err)
{
    link->broken = mem_new(struct notice);
    *link->broken = (struct notice){ link, *err };
    loop_post(link->loop, on_broken, link->broken);
    return false;
}

bool shimlink_send(struct shimlink *link, const struct shim_msg *msg, struct err *err)
{
    assert(link->magic == LINK_MAGIC);
    if (link->is_dead || link->broken)
        return err_set(err, ERR_UNAVAILABLE, "send %s: shim link is closed",
                       shim_msg_name(msg->type));
    struct packet out;
    out.len = shim_msg_encode(msg, out.bytes);
    if (link->count == 0) {
        if (packet_send(link, &out))
            return true;
        if (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM) {
            (void)err_set(err, ERR_UNAVAILABLE, "send %s: %s", shim_msg_name(msg->type),
                          strerror(errno));
            return link_break(link, err);
        }
    }
    if (link->count == SHIMLINK_QUEUE_MAX) {
        (void)err_set(err, ERR_UNAVAILABLE, "send %s: the shim reads nothing",
                      shim_msg_name(msg->type));
        return link_break(link, err);
    }
    if (!link->queue)
        link->queue = mem_array(SHIMLINK_QUEUE_MAX, sizeof(*link->queue));
    link->queue[(link->first + link->count++) % SHIMLINK_QUEUE_MAX] = out;
    loop_watch_change(link->watch, LOOP_READ | LOOP_WRITE);
    return true;
}

pid_t shimlink_peer_pid(const struct shimlink *link) { return link->peer.pid; }
