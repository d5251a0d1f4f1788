/* The host port on Windows: stdio and TCP. */
#ifdef _WIN32

#include <winsock2.h>
#include <ws2tcpip.h>

#include <stdio.h>
#include <stdlib.h>

#include "host.h"
#include "port.h"

#define STALL_MS 1000 /* output is dropped if the reader has taken nothing for this time */
#define RING 4096u

static enum { STDIO, TCP } stream;
static SOCKET listener = INVALID_SOCKET, client = INVALID_SOCKET;
static bool stalled; /* the client has stopped taking output */

static uint8_t received[256];
static int n_received, n_taken;

/* Reading standard input blocks, so a thread of its own reads it into this ring buffer. */
static struct {
    CRITICAL_SECTION lock;
    CONDITION_VARIABLE changed;
    uint8_t bytes[RING];
    uint32_t first, n;
    bool ended;
} ring;

static void say_where(unsigned port) {
    (void)printf("tinyllm: listening on socket://127.0.0.1:%u\n", port);
    (void)fflush(stdout);
}

/* --- Standard input --- */

static void put_in_ring(uint8_t byte) {
    EnterCriticalSection(&ring.lock);
    while (ring.n == RING) {
        (void)SleepConditionVariableCS(&ring.changed, &ring.lock, INFINITE);
    }
    ring.bytes[(ring.first + ring.n++) % RING] = byte;
    WakeAllConditionVariable(&ring.changed);
    LeaveCriticalSection(&ring.lock);
}

static DWORD WINAPI fill_ring(LPVOID unused) {
    uint8_t bytes[256];
    DWORD n = 0;
    (void)unused;
    while (ReadFile(GetStdHandle(STD_INPUT_HANDLE), bytes, sizeof bytes, &n, NULL) && n > 0) {
        for (DWORD i = 0; i < n; i++) {
            put_in_ring(bytes[i]);
        }
    }
    put_in_ring('\n'); /* so that the last line counts even if its line end is missing */
    EnterCriticalSection(&ring.lock);
    ring.ended = true;
    WakeAllConditionVariable(&ring.changed);
    LeaveCriticalSection(&ring.lock);
    return 0;
}

static int take_from_ring(void) {
    int byte = -1;
    EnterCriticalSection(&ring.lock);
    if (ring.n > 0) {
        byte = ring.bytes[ring.first];
        ring.first = (ring.first + 1u) % RING;
        ring.n--;
        WakeAllConditionVariable(&ring.changed);
    }
    LeaveCriticalSection(&ring.lock);
    return byte;
}

static DWORD WINAPI end_with_stdin(LPVOID unused) {
    uint8_t bytes[64];
    DWORD n = 0;
    (void)unused;
    while (ReadFile(GetStdHandle(STD_INPUT_HANDLE), bytes, sizeof bytes, &n, NULL) && n > 0) {
    }
    ExitProcess(0);
}

static bool run_beside(LPTHREAD_START_ROUTINE routine) {
    HANDLE thread = CreateThread(NULL, 0, routine, NULL, 0, NULL);
    if (thread == NULL) {
        return false;
    }
    (void)CloseHandle(thread);
    return true;
}

/* --- Opening --- */

bool tl_host_open_stdio(void) {
    stream = STDIO;
    (void)SetConsoleCP(CP_UTF8);
    (void)SetConsoleOutputCP(CP_UTF8);
    InitializeCriticalSection(&ring.lock);
    InitializeConditionVariable(&ring.changed);
    if (!run_beside(fill_ring)) {
        (void)fprintf(stderr, "tinyllm: cannot read standard input (Windows error %lu)\n", GetLastError());
        return false;
    }
    return true;
}

bool tl_host_open_tcp(uint16_t port) {
    struct sockaddr_in address = {0};
    int length = sizeof address;
    const BOOL exclusive = TRUE;
    u_long nonblocking = 1;
    WSADATA data;

    stream = TCP;
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    if (WSAStartup(MAKEWORD(2, 2), &data) != 0) {
        (void)fprintf(stderr, "tinyllm: this Windows has no network\n");
        return false;
    }
    listener = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    if (listener == INVALID_SOCKET ||
        setsockopt(listener, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (const char *)&exclusive, sizeof exclusive) != 0 ||
        bind(listener, (const struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0 ||
        ioctlsocket(listener, (long)FIONBIO, &nonblocking) != 0) {
        (void)fprintf(stderr,
                      "tinyllm: cannot listen on 127.0.0.1:%u (Windows error %d); "
                      "choose another port, or 0 for any free one\n",
                      port, WSAGetLastError());
        return false;
    }
    say_where(ntohs(address.sin_port));
    return true;
}

bool tl_host_open_pty(void) {
    (void)fprintf(stderr, "tinyllm: Windows has no pseudo-terminals; use --tcp PORT instead\n");
    return false;
}

void tl_host_watch_stdin(void) {
    (void)run_beside(end_with_stdin);
}

/* --- Waiting --- */

static bool wait_for_socket(SOCKET watched, bool to_write, const struct timeval *limit) {
    fd_set sockets;
    FD_ZERO(&sockets);
    FD_SET(watched, &sockets);
    return select(0, to_write ? NULL : &sockets, to_write ? &sockets : NULL, NULL, limit) > 0;
}

void tl_host_wait(void) {
    if (stream == TCP) {
        (void)wait_for_socket(client != INVALID_SOCKET ? client : listener, false, NULL);
        return;
    }
    EnterCriticalSection(&ring.lock);
    while (ring.n == 0 && !ring.ended) {
        (void)SleepConditionVariableCS(&ring.changed, &ring.lock, INFINITE);
    }
    LeaveCriticalSection(&ring.lock);
}

bool tl_host_ended(void) {
    if (stream == TCP) {
        return false;
    }
    EnterCriticalSection(&ring.lock);
    const bool ended = ring.ended && ring.n == 0;
    LeaveCriticalSection(&ring.lock);
    return ended;
}

/* --- Reading --- */

static void accept_client(void) {
    const BOOL no_delay = TRUE;
    u_long nonblocking = 1;
    client = accept(listener, NULL, NULL);
    if (client == INVALID_SOCKET) {
        return;
    }
    (void)ioctlsocket(client, (long)FIONBIO, &nonblocking);
    (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, (const char *)&no_delay, sizeof no_delay);
    stalled = false;
}

static void receive(void) {
    n_received = n_taken = 0;
    if (client == INVALID_SOCKET) {
        accept_client();
        return;
    }
    const int n = recv(client, (char *)received, sizeof received, 0);
    if (n > 0) {
        n_received = n;
    } else if (n == 0 || WSAGetLastError() != WSAEWOULDBLOCK) {
        (void)closesocket(client);
        client = INVALID_SOCKET;
    }
}

int tl_port_read(void) {
    if (stream == STDIO) {
        return take_from_ring();
    }
    if (n_taken == n_received) {
        receive();
    }
    return n_taken < n_received ? received[n_taken++] : -1;
}

/* --- Writing --- */

static void write_stdout(const uint8_t *bytes, uint32_t n) {
    while (n > 0) {
        DWORD written = 0;
        if (!WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), bytes, n, &written, NULL)) {
            ExitProcess(0); /* the reader has closed stdout */
        }
        bytes += written;
        n -= written;
    }
}

static bool wait_for_room(void) {
    const struct timeval limit = {.tv_sec = 0, .tv_usec = stalled ? 0 : STALL_MS * 1000};
    stalled = !wait_for_socket(client, true, &limit);
    return !stalled;
}

void tl_port_write(const uint8_t *bytes, uint32_t n) {
    if (stream == STDIO) {
        write_stdout(bytes, n);
        return;
    }
    while (n > 0 && client != INVALID_SOCKET) {
        const int sent = send(client, (const char *)bytes, (int)n, 0);
        if (sent > 0) {
            stalled = false;
            bytes += sent;
            n -= (uint32_t)sent;
        } else if (WSAGetLastError() != WSAEWOULDBLOCK || !wait_for_room()) {
            return;
        }
    }
}

/* --- Clock and light --- */

uint64_t tl_port_micros(void) {
    static LARGE_INTEGER frequency;
    LARGE_INTEGER now;
    if (frequency.QuadPart == 0) {
        (void)QueryPerformanceFrequency(&frequency);
    }
    (void)QueryPerformanceCounter(&now);
    const uint64_t ticks = (uint64_t)now.QuadPart, rate = (uint64_t)frequency.QuadPart;
    return ticks / rate * 1000000u + ticks % rate * 1000000u / rate;
}

void tl_port_thinking(bool thinking) {
    (void)thinking; /* a personal computer has no LED to spare */
}

#else

typedef int tl_not_windows; /* ISO C requires a declaration in every file */

#endif
