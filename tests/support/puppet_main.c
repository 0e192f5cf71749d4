/* puppet: stands where a sidecar would, and lets the test speak for it.
 *
 * puppet SOCKET: hands its descriptor 3 (the channel to the shim) to whoever listens at SOCKET,
 * says its pid, then exits with the code that comes back as one byte. */
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CHANNEL 3

static int give_channel(int conn)
{
    _Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int))] = { 0 };
    int32_t pid = getpid();
    struct iovec bytes = { &pid, sizeof(pid) };
    struct msghdr msg = {
        .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)
    };
    struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
    int channel = CHANNEL;
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &channel, sizeof(channel));
    return sendmsg(conn, &msg, 0) == (ssize_t)sizeof(pid) ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    if (argc != 2 || strlen(argv[1]) >= sizeof(at.sun_path))
        return 64;
    memcpy(at.sun_path, argv[1], strlen(argv[1]) + 1);
    int conn = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (conn < 0 || connect(conn, (const struct sockaddr *)&at, sizeof(at)) != 0)
        return 65;
    if (give_channel(conn) != 0)
        return 66;
    (void)close(CHANNEL); /* the test's copy is the only one: closing it is hanging up */
    uint8_t code = 0;
    return read(conn, &code, 1) == 1 ? code : 67;
}
