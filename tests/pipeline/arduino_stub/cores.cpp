/* The second core of a desk: a thread that starts a moment late. */
#include "cores.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <Arduino.h>

#include "parallel.h"
#if defined(ARDUINO_ARCH_RP2040)
#include <hardware/sync.h>
#endif

/* What one core waits for and the other gives: an event on the Pico, a notification on the ESP32. */
static pthread_mutex_t events_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t events_changed = PTHREAD_COND_INITIALIZER;
static const useconds_t LATE_US = 50000;

static void give(bool *event) {
    (void)pthread_mutex_lock(&events_lock);
    *event = true;
    (void)pthread_cond_broadcast(&events_changed);
    (void)pthread_mutex_unlock(&events_lock);
}

static void take(bool *event) {
    (void)pthread_mutex_lock(&events_lock);
    while (!*event) {
        (void)pthread_cond_wait(&events_changed, &events_lock);
    }
    *event = false;
    (void)pthread_mutex_unlock(&events_lock);
}

#if defined(ARDUINO_ARCH_ESP32)
static bool notified;
static TaskFunction_t task_code;

static void *run_task(void *) {
    (void)usleep(LATE_US);
    task_code(nullptr);
    return nullptr;
}

extern "C" BaseType_t xTaskCreatePinnedToCore(TaskFunction_t code, const char *, uint32_t, void *, UBaseType_t,
                                              TaskHandle_t *task, BaseType_t core) {
    pthread_t thread;
    task_code = code;
    if (core != 0 || pthread_create(&thread, nullptr, run_task, nullptr) != 0) {
        return 0;
    }
    fprintf(stderr, "second core\n");
    *task = reinterpret_cast<TaskHandle_t>(&task_code);
    return pdPASS;
}

extern "C" BaseType_t xPortGetCoreID(void) {
    return 1;
}

extern "C" uint32_t ulTaskNotifyTake(BaseType_t, TickType_t) {
    take(&notified);
    return 1;
}

extern "C" BaseType_t xTaskNotifyGive(TaskHandle_t) {
    give(&notified);
    return pdPASS;
}

void start_second_core() {}
#else
static bool events[2];
static thread_local int core;

#if TL_CORES > 1
static void *run_second_core(void *) {
    core = 1;
    (void)usleep(LATE_US);
    setup1();
    for (;;) {
        loop1();
    }
}
#endif

void __dsb(void) {}

void __sev(void) {
    give(&events[1 - core]);
}

void __wfe(void) {
    take(&events[core]);
}

void start_second_core() {
#if TL_CORES > 1
    pthread_t second;
    if (pthread_create(&second, nullptr, run_second_core, nullptr) != 0) {
        abort();
    }
    fprintf(stderr, "second core\n");
#endif
}
#endif
