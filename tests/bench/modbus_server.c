/* A Modbus TCP server that costs as little as possible, so that a benchmark measures the client.
 *
 * Answers functions 3 and 4 for every unit and address with numbers that differ at each read of a unit, so that a
 * client which reports on change has something to report each time; with `still` they stay as they are. All else is
 * refused with exception 1. One thread, epoll. Arguments: the port (0: a free one), lively or still. Listens on every
 * address of the host and prints its port.
 * Source: Modbus application protocol 1.1b3, Modbus messaging on TCP/IP 1.0b.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { QUESTION = 12, HEADER = 9, MOST = 125, BUFFER = 8192, FILES = 4096 };

static uint8_t waiting[FILES][BUFFER];
static int held[FILES];
static uint32_t reads_of_unit[256];
static int is_still;

static int answer(const uint8_t *question, uint8_t *out) {
    int function = question[7], count = question[10] << 8 | question[11];
    memcpy(out, question, 8);
    if ((function != 3 && function != 4) || count < 1 || count > MOST) {
        out[4] = 0;
        out[5] = 3;
        out[7] = (uint8_t)(function | 0x80);
        out[8] = function == 3 || function == 4 ? 3 : 1;
        return HEADER;
    }
    uint32_t turn = is_still ? 1 : ++reads_of_unit[question[6]];
    out[4] = 0;
    out[5] = (uint8_t)(3 + 2 * count);
    out[8] = (uint8_t)(2 * count);
    for (int i = 0; i < count; i++) {
        uint32_t value = (turn * 7 + (uint32_t)i * 131) % 10000;
        out[HEADER + 2 * i] = (uint8_t)(value >> 8);
        out[HEADER + 2 * i + 1] = (uint8_t)value;
    }
    return HEADER + 2 * count;
}

static int serve(int fd) {
    static uint8_t out[1 << 18];
    ssize_t got = recv(fd, waiting[fd] + held[fd], (size_t)(BUFFER - held[fd]), 0);
    if (got <= 0) return -1;
    held[fd] += (int)got;
    int at = 0, size = 0;
    while (held[fd] - at >= 6) {
        int length = 6 + (waiting[fd][at + 4] << 8 | waiting[fd][at + 5]);
        if (length < 8 || length > 260) return -1;
        if (held[fd] - at < length) break;
        size += answer(waiting[fd] + at, out + size);
        at += length;
    }
    memmove(waiting[fd], waiting[fd] + at, (size_t)(held[fd] - at));
    held[fd] -= at;
    return size && send(fd, out, (size_t)size, MSG_NOSIGNAL) != size ? -1 : 0;
}

int main(int argc, char **argv) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), poller = epoll_create1(0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0))};
    socklen_t size = sizeof at;
    is_still = argc > 2 && !strcmp(argv[2], "still");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&at, size) || listen(listener, 512)) {
        perror("bind");
        return 1;
    }
    getsockname(listener, (struct sockaddr *)&at, &size);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    struct epoll_event wanted = {.events = EPOLLIN, .data.fd = listener}, events[256];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &wanted);
    for (;;) {
        int ready = epoll_wait(poller, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                fd = accept(listener, NULL, NULL);
                if (fd < 0) continue;
                if (fd >= FILES) {
                    close(fd);
                    continue;
                }
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                held[fd] = 0;
                wanted.data.fd = fd;
                epoll_ctl(poller, EPOLL_CTL_ADD, fd, &wanted);
            } else if (serve(fd) < 0) {
                close(fd);
            }
        }
    }
}
