/* The host port on Linux, macOS and other POSIX systems. */
#ifndef _WIN32

#define _XOPEN_SOURCE 700
#if defined(__APPLE__)
#define _DARWIN_C_SOURCE
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "host.h"
#include "port.h"

#define STALL_MS 1000 /* output is dropped if the reader has taken nothing for this time */
#define ABSENT_MS 50  /* how often to check whether the pseudo-terminal was opened */

static enum { STDIO, TCP, PTY } stream;
static int input = -1, output = -1; /* TCP: the client, -1 while there is none */
static int listener = -1;
static int watched = -1;
static bool ended;  /* STDIO: the end of input has come */
static bool absent; /* PTY: nobody has it open */
static const char *pty_name;
static bool stalled; /* the reader has stopped taking output */

static uint8_t received[256];
static ssize_t n_received, n_taken;

static void exit_at_once(int signal_number) {
    (void)signal_number;
    _exit(0);
}

static void handle_signals(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    (void)sigemptyset(&action.sa_mask);
    action.sa_handler = exit_at_once;
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    action.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &action, NULL);
}

static bool set_nonblocking(int fd) {
    const int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) >= 0;
}

static void say_where(const char *where) {
    (void)printf("tinyllm: listening on %s\n", where);
    (void)fflush(stdout);
}

/* --- Opening --- */

bool tl_host_open_stdio(void) {
    handle_signals();
    stream = STDIO;
    input = STDIN_FILENO;
    output = STDOUT_FILENO;
    return true;
}

bool tl_host_open_tcp(uint16_t port) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    const int reuse = 1;
    char where[40];

    handle_signals();
    stream = TCP;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse) < 0 ||
        bind(listener, (const struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) < 0 || !set_nonblocking(listener)) {
        (void)fprintf(stderr,
                      "tinyllm: cannot listen on 127.0.0.1:%u: %s; choose another port, or 0 for any free one\n", port,
                      strerror(errno));
        return false;
    }
    (void)snprintf(where, sizeof where, "socket://127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
    say_where(where);
    return true;
}

/* Sets raw mode: no echo, no line editing, no translation. */
static bool set_raw(int fd) {
    struct termios settings;
    if (tcgetattr(fd, &settings) < 0) {
        return false;
    }
    settings.c_iflag &= (tcflag_t) ~(BRKINT | ICRNL | IGNBRK | IGNCR | INLCR | INPCK | ISTRIP | IXON | PARMRK);
    settings.c_oflag &= (tcflag_t)~OPOST;
    settings.c_lflag &= (tcflag_t) ~(ECHO | ECHONL | ICANON | IEXTEN | ISIG);
    settings.c_cflag = (settings.c_cflag & (tcflag_t) ~(CSIZE | PARENB)) | CS8;
    return tcsetattr(fd, TCSANOW, &settings) == 0;
}

/* Prepares the other side of the pseudo-terminal for the next program that opens it: raw and empty. Because it is
   opened and closed here, poll reports it as hung up until that program opens it. */
static bool renew_pty(void) {
    const int other = open(pty_name, O_RDWR | O_NOCTTY);
    if (other < 0) {
        return false;
    }
    const bool renewed = set_raw(other) && tcflush(other, TCIFLUSH) == 0;
    (void)close(other);
    return renewed;
}

bool tl_host_open_pty(void) {
    handle_signals();
    stream = PTY;
    input = output = posix_openpt(O_RDWR | O_NOCTTY);
    if (input >= 0 && grantpt(input) == 0 && unlockpt(input) == 0) {
        pty_name = ptsname(input);
    }
    if (pty_name == NULL || !renew_pty() || !set_nonblocking(input)) {
        (void)fprintf(stderr, "tinyllm: cannot open a pseudo-terminal: %s; use --tcp instead\n", strerror(errno));
        return false;
    }
    absent = true;
    say_where(pty_name);
    return true;
}

void tl_host_watch_stdin(void) {
    watched = STDIN_FILENO;
}

/* --- Waiting --- */

static void check_watched(short events) {
    uint8_t ignored[64];
    if (events != 0 && read(watched, ignored, sizeof ignored) <= 0) {
        exit(0);
    }
}

/* Waits at most this many milliseconds (-1: without limit) until input may be read or a client connects; false if
   neither happens. */
static bool wait_for_input(int milliseconds) {
    struct pollfd ready[2] = {{.fd = input >= 0 ? input : listener, .events = POLLIN},
                              {.fd = watched, .events = POLLIN}};
    if (poll(ready, 2, milliseconds) <= 0) {
        return false;
    }
    check_watched(ready[1].revents);
    return ready[0].revents != 0;
}

void tl_host_wait(void) {
    if (absent) {
        struct pollfd parent = {.fd = watched, .events = POLLIN};
        if (poll(&parent, 1, ABSENT_MS) > 0) {
            check_watched(parent.revents);
        }
    } else {
        (void)wait_for_input(-1);
    }
}

bool tl_host_ended(void) {
    return ended;
}

/* --- Reading --- */

static void accept_client(void) {
    const int no_delay = 1;
    const int client = accept(listener, NULL, NULL);
    if (client < 0) {
        return;
    }
    if (!set_nonblocking(client)) {
        (void)close(client);
        return;
    }
    (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &no_delay, sizeof no_delay);
    input = output = client;
    stalled = false;
}

/* Handles the end of the connection. */
static void lose(void) {
    if (stream == STDIO && !ended) {
        ended = true;
        received[0] = '\n'; /* so that the last line counts even if its line end is missing */
        n_received = 1;
    } else if (stream == TCP) {
        (void)close(input);
        input = output = -1;
    } else if (stream == PTY && !absent) {
        absent = true;
        stalled = false;
        (void)renew_pty();
    }
}

static void receive(void) {
    n_received = n_taken = 0;
    if (ended) {
        return;
    }
    if (!wait_for_input(0)) {
        absent = false; /* while nobody has it open, poll reports a hang-up instead */
        return;
    }
    if (input < 0) {
        accept_client();
        return;
    }
    const ssize_t n = read(input, received, sizeof received);
    if (n > 0) {
        n_received = n;
        absent = false;
    } else if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
        lose();
    }
}

int tl_port_read(void) {
    if (n_taken == n_received) {
        receive();
    }
    return n_taken < n_received ? received[n_taken++] : -1;
}

/* --- Writing --- */

static bool wait_for_room(void) {
    struct pollfd room = {.fd = output, .events = POLLOUT};
    stalled = poll(&room, 1, stalled ? 0 : STALL_MS) <= 0;
    return !stalled;
}

void tl_port_write(const uint8_t *bytes, uint32_t n) {
    while (n > 0 && output >= 0 && !absent) {
        const ssize_t written = write(output, bytes, n);
        if (written > 0) {
            stalled = false;
            bytes += written;
            n -= (uint32_t)written;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            if (!wait_for_room()) {
                return;
            }
        } else if (errno != EINTR) {
            if (stream == STDIO) {
                exit(0); /* the reader has closed stdout */
            }
            return;
        }
    }
}

/* --- Clock and light --- */

uint64_t tl_port_micros(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

void tl_port_thinking(bool thinking) {
    (void)thinking; /* a personal computer has no LED to spare */
}

#else

typedef int tl_not_posix; /* ISO C requires a declaration in every file */

#endif
