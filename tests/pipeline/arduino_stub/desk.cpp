/* Those calls on a desk: Serial is a TCP connection, the clock is about to wrap, and setup() and loop() run as on a board.
 *
 * What the cores do and the port must cope with is done here too: a receive buffer of limited size that drops what does
 * not fit (ESP32), nothing sent while DTR is low unless told otherwise (Pico, ESP32-S2; DTR of a socket is low), short
 * writes, and an LED, whose changes are told on stderr. The second core is a thread (cores.cpp). With
 * TL_DESK_NO_PSRAM there is none. The file that TL_DESK_WEIGHTS names is the partition of weights, or lies where a Pico
 * shows its flash.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <Arduino.h>

#include "cores.h"
#include "model.h"
#if defined(TL_WEIGHTS_APART)
#include <sys/mman.h>
#include <sys/stat.h>
#endif
#if defined(TL_WEIGHTS_APART) && defined(ARDUINO_ARCH_ESP32)
#include <esp_partition.h>
#endif

Console Serial;

static const uint32_t BEFORE_WRAP_US = 1500000;
static const size_t MOST_AT_ONCE = 64; /* a USB packet */

static int listener = -1, client = -1;
static uint8_t received[65536];
#if defined(TEENSYDUINO)
static size_t buffer_size = sizeof received; /* USB holds the sender back instead */
#else
static size_t buffer_size = 256; /* what the ESP32's core has by default */
#endif
static size_t n_received, n_taken;

static uint64_t now_us() {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    static const uint64_t began =
        static_cast<uint64_t>(now.tv_sec) * 1000000u + static_cast<uint64_t>(now.tv_nsec) / 1000u;
    return static_cast<uint64_t>(now.tv_sec) * 1000000u + static_cast<uint64_t>(now.tv_nsec) / 1000u - began;
}

static void receive() {
    if (client < 0) {
        client = accept(listener, nullptr, nullptr);
        if (client < 0) {
            return;
        }
        const int on = 1;
        (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void)fcntl(client, F_SETFL, O_NONBLOCK);
    }
    uint8_t bytes[4096];
    const ssize_t n = recv(client, bytes, sizeof bytes, 0);
    if (n == 0) {
        (void)close(client);
        client = -1;
        return;
    }
    if (n_taken == n_received) {
        n_taken = n_received = 0;
    }
    for (ssize_t i = 0; i < n && n_received < buffer_size; i++) {
        received[n_received++] = bytes[i];
    }
}

void Console::begin(unsigned long) {}

int Console::available() {
    receive();
    return static_cast<int>(n_received - n_taken);
}

int Console::read() {
    return n_taken < n_received ? received[n_taken++] : -1;
}

static size_t send_some(const uint8_t *bytes, size_t n) {
    if (client < 0) {
        receive();
    }
    if (client < 0) {
        return n; /* the ESP32's core drops it, the Pico's until its FIFO is full */
    }
    const ssize_t sent = send(client, bytes, n < MOST_AT_ONCE ? n : MOST_AT_ONCE, MSG_NOSIGNAL);
    return sent > 0 ? static_cast<size_t>(sent) : 0;
}

size_t Console::write(const uint8_t *bytes, size_t n) {
#if defined(ARDUINO_ARCH_RP2040)
    if (flow_control) {
        return 0;
    }
#elif defined(ARDUINO_USB_MODE) && !ARDUINO_USB_MODE
    n = 0;                       /* DTR is low */
#endif
    return n == 0 ? 0 : send_some(bytes, n);
}

#if defined(ARDUINO_USB_MODE) && !ARDUINO_USB_MODE
/* A FIFO of a packet, which a flush sends. What is written beyond its room takes the place of what was there. */
static uint8_t fifo[MOST_AT_ONCE];
static size_t in_fifo;

extern "C" uint32_t tud_cdc_n_write_available(uint8_t) {
    return static_cast<uint32_t>(sizeof fifo - in_fifo);
}

extern "C" uint32_t tud_cdc_n_write(uint8_t, void const *buffer, uint32_t bufsize) {
    for (uint32_t i = 0; i < bufsize; i++) {
        in_fifo = in_fifo == sizeof fifo ? 0 : in_fifo;
        fifo[in_fifo++] = static_cast<const uint8_t *>(buffer)[i];
    }
    return bufsize;
}

extern "C" uint32_t tud_cdc_n_write_flush(uint8_t) {
    const size_t sent = send_some(fifo, in_fifo);
    in_fifo -= sent;
    memmove(fifo, fifo + sent, in_fifo);
    return static_cast<uint32_t>(sent);
}
#endif

size_t Console::println(const char *text) {
    size_t n = 0;
    while (n < strlen(text)) {
        n += write(reinterpret_cast<const uint8_t *>(text) + n, strlen(text) - n);
    }
    return n + write(reinterpret_cast<const uint8_t *>("\r\n"), 2);
}

#if defined(TL_WEIGHTS_APART)
/* The file at an address, or anywhere; nullptr without one. */
static void *map_weights(void *address, size_t *size) {
    const char *path = getenv("TL_DESK_WEIGHTS");
    const int file = path == nullptr ? -1 : open(path, O_RDONLY);
    struct stat about;
    if (file < 0 || fstat(file, &about) < 0) {
        return nullptr;
    }
    *size = static_cast<size_t>(about.st_size);
    const int flags = MAP_PRIVATE | (address == nullptr ? 0 : MAP_FIXED_NOREPLACE);
    void *mapped = mmap(address, *size, PROT_READ, flags, file, 0);
    return mapped == MAP_FAILED ? nullptr : mapped;
}

#if defined(ARDUINO_ARCH_ESP32)
static const void *partition_bytes;

extern "C" const esp_partition_t *esp_partition_find_first(esp_partition_type_t type, esp_partition_subtype_t subtype,
                                                           const char *label) {
    static esp_partition_t partition;
    size_t size = 0;
    if (type != ESP_PARTITION_TYPE_DATA || static_cast<int>(subtype) != 0x40 || strcmp(label, "weights") != 0) {
        return nullptr;
    }
    partition_bytes = map_weights(nullptr, &size);
    partition.size = static_cast<uint32_t>(size);
    return partition_bytes == nullptr ? nullptr : &partition;
}

extern "C" esp_err_t esp_partition_mmap(const esp_partition_t *partition, size_t offset, size_t size,
                                        spi_flash_mmap_memory_t memory, const void **out_ptr,
                                        spi_flash_mmap_handle_t *out_handle) {
    if (offset + size > partition->size || memory != SPI_FLASH_MMAP_DATA) {
        return 0x104; /* ESP_ERR_INVALID_SIZE */
    }
    *out_ptr = partition_bytes;
    *out_handle = 1;
    return ESP_OK;
}
#endif
#endif

#if defined(ARDUINO_ARCH_ESP32)
extern "C" void *heap_caps_aligned_calloc(size_t alignment, size_t n, size_t size, uint32_t) {
    if (!psramFound()) {
        return nullptr;
    }
    void *memory = aligned_alloc(alignment, (n * size + alignment - 1) / alignment * alignment);
    return memory == nullptr ? nullptr : memset(memory, 0, n * size);
}

size_t Console::setRxBufferSize(size_t size) {
    buffer_size = size;
    return size;
}

extern "C" bool psramFound() {
    return getenv("TL_DESK_NO_PSRAM") == nullptr;
}

extern "C" void neopixelWrite(uint8_t, uint8_t, uint8_t, uint8_t blue) {
    fprintf(stderr, "LED %d\n", blue > 0);
}

extern "C" UBaseType_t uxTaskGetStackHighWaterMark(TaskHandle_t) {
    return 5000;
}

size_t getArduinoLoopTaskStackSize(void) {
    return 8192;
}

extern "C" void delay(uint32_t ms) {
#elif defined(ARDUINO_ARCH_RP2040)
void Console::ignoreFlowControl(bool ignore) {
    flow_control = !ignore;
    buffer_size = sizeof received; /* USB holds the sender back instead */
}

#if defined(RP2350_PSRAM_CS)
RP2040 rp2040;

size_t RP2040::getPSRAMSize() {
    return getenv("TL_DESK_NO_PSRAM") == nullptr ? 8u << 20 : 0;
}

/* At an address that is a multiple of 4 and not of 8, as the core's heap may give. */
extern "C" void *pcalloc(size_t count, size_t size) {
    if (rp2040.getPSRAMSize() == 0) {
        return nullptr;
    }
    char *const memory = static_cast<char *>(calloc(1, count * size + 4));
    return memory == nullptr ? nullptr : memory + 4;
}
#endif

extern "C" void delay(unsigned long ms) {
#else
extern "C" void delay(uint32_t ms) {
#endif
    (void)usleep(static_cast<useconds_t>(ms) * 1000u);
}

extern "C" void pinMode(uint8_t, uint8_t) {}

extern "C" void digitalWrite(uint8_t, uint8_t value) {
    fprintf(stderr, "LED %d\n", value);
}

extern "C" decltype(millis()) millis() {
    return static_cast<uint32_t>(now_us() / 1000u);
}

extern "C" decltype(micros()) micros() {
    /* Unsigned: the wrap comes BEFORE_WRAP_US after the start. */
    return static_cast<uint32_t>(now_us() - BEFORE_WRAP_US);
}

static void end(int) {
    _exit(0);
}

int main() {
    (void)signal(SIGTERM, end);
    struct sockaddr_in address = {};
    socklen_t length = sizeof address;
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    const int small = 4096;
    (void)setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    if (bind(listener, reinterpret_cast<struct sockaddr *>(&address), sizeof address) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, reinterpret_cast<struct sockaddr *>(&address), &length) < 0) {
        return 1;
    }
    (void)fcntl(listener, F_SETFL, O_NONBLOCK);
    printf("tinyllm: listening on socket://127.0.0.1:%u\n", static_cast<unsigned>(ntohs(address.sin_port)));
    (void)fflush(stdout);
    (void)now_us();
#if defined(TL_WEIGHTS_APART) && defined(ARDUINO_ARCH_RP2040)
    size_t size = 0;
    if (map_weights(reinterpret_cast<void *>(TL_WEIGHTS_ADDRESS), &size) == nullptr) {
        return 1;
    }
#endif
    start_second_core();
    setup();
    for (;;) {
        loop();
        struct pollfd parent = {STDIN_FILENO, POLLIN, 0};
        uint8_t byte;
        if (poll(&parent, 1, 0) > 0 && ::read(STDIN_FILENO, &byte, 1) <= 0) {
            return 0;
        }
    }
}
