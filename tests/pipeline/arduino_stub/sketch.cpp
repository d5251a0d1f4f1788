/* A sketch as a program of this computer: Serial is its standard input and output, and nothing waits. loop() runs until the
 * input has ended, and a while longer, so that an answer that is under way comes to its end. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <Arduino.h>

#include "cores.h"

Console Serial;

static const int LOOPS_AFTER_INPUT = 1000;

static int next = -1;
static bool ended;

void Console::begin(unsigned long) {}

int Console::available() {
    uint8_t byte;
    if (next < 0 && !ended) {
        const ssize_t n = ::read(STDIN_FILENO, &byte, 1);
        ended = n == 0;
        next = n == 1 ? byte : -1;
    }
    return next >= 0;
}

int Console::read() {
    const int byte = available() > 0 ? next : -1;
    next = -1;
    return byte;
}

size_t Console::print(const char *text) {
    (void)fputs(text, stdout);
    return strlen(text);
}

size_t Console::println(const char *text) {
    return print(text) + print("\r\n");
}

#if defined(ARDUINO_ARCH_ESP32)
extern "C" void delay(uint32_t) {}
#else
extern "C" void delay(unsigned long) {}
#endif

extern "C" void pinMode(uint8_t, uint8_t) {}

extern "C" void digitalWrite(uint8_t, uint8_t value) {
    fprintf(stderr, "LED %d\n", value);
}

int main() {
    start_second_core();
    setup();
    for (int after = 0; after < LOOPS_AFTER_INPUT; after += ended) {
        loop();
        if (Serial.available() == 0) {
            continue;
        }
        static int same, unread = -1;
        same = next == unread ? same + 1 : 0;
        unread = next;
        if (same == LOOPS_AFTER_INPUT) {
            return 0; /* nobody reads it */
        }
    }
    return 0;
}
