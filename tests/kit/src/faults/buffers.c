/* Sockets of a machine that has no memory left for them: preloaded into a program by tests/kit/src/faults/buffer_faults.rs.
 *
 * While the file named by SLUICEGATE_BUFFERS holds another 64-bit number than 0, nothing can be sent and no socket can be made:
 * ENOBUFS. What was sent before arrives, and what arrives is received. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const volatile int64_t none;

static int full(void) {
    static const volatile int64_t *place;
    if (place == NULL) {
        const char *path = getenv("SLUICEGATE_BUFFERS");
        int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
        void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *place, PROT_READ, MAP_SHARED, file, 0);
        place = page == MAP_FAILED ? &none : page;
    }
    if (*place != 0)
        errno = ENOBUFS;
    return *place != 0;
}

static int is_socket(int file) {
    int kind, before = errno;
    socklen_t size = sizeof kind;
    int known = getsockopt(file, SOL_SOCKET, SO_TYPE, &kind, &size) == 0;
    errno = before;
    return known;
}

int socket(int domain, int kind, int protocol) {
    return full() ? -1 : (int)syscall(SYS_socket, domain, kind, protocol);
}

ssize_t send(int file, const void *bytes, size_t size, int flags) {
    return full() ? -1 : (ssize_t)syscall(SYS_sendto, file, bytes, size, flags, NULL, 0);
}

ssize_t sendmsg(int file, const struct msghdr *message, int flags) {
    return full() ? -1 : (ssize_t)syscall(SYS_sendmsg, file, message, flags);
}

ssize_t write(int file, const void *bytes, size_t size) {
    return is_socket(file) && full() ? -1 : (ssize_t)syscall(SYS_write, file, bytes, size);
}

ssize_t writev(int file, const struct iovec *pieces, int count) {
    return is_socket(file) && full() ? -1 : (ssize_t)syscall(SYS_writev, file, pieces, count);
}
