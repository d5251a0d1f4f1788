/* The second core. It waits for `asked` to differ from `done`, does its part of the job, and says so with `done`.
 *
 * Pico: core 1, which the core launches where setup1() and loop1() exist; it sleeps until an event (WFE).
 * ESP32 and ESP32-S3: a task pinned to the core where loop() does not run. It looks for the next part for a moment, since
 * parts follow each other within microseconds, then sleeps until it is notified: so the system and the idle task, whose
 * watchdog watches this core, have their time.
 */
#include "second_core.h"

#include <Arduino.h>

#include "parallel.h"
#include "placement.h"

#if TL_CORES > 1

namespace {

/* Each is written by one core alone. */
uint32_t asked, done;

/* What the other core wrote before it stored the value is seen after it was loaded. Sequentially consistent, for a core
   that falls asleep stores one and then loads another. */
template <typename Value> Value load(const Value &value) {
    return __atomic_load_n(&value, __ATOMIC_SEQ_CST);
}

template <typename Value> void store(Value &value, Value next) {
    __atomic_store_n(&value, next, __ATOMIC_SEQ_CST);
}

} // namespace

#if defined(ARDUINO_ARCH_RP2040)

#include <hardware/sync.h>

namespace {

bool ready;

/* The stores before are complete when the event comes (Armv6-M Architecture Reference Manual, B1.5.18). */
TL_HOT void wake_other() {
    __dsb();
    __sev();
}

} // namespace

void tl_second_core_start() {}

void setup1() {
    store(ready, true);
}

TL_HOT void loop1() {
    while (load(asked) == done) {
        __wfe();
    }
    tl_parallel_other();
    store(done, asked);
    wake_other();
}

extern "C" TL_HOT bool tl_port_fork(void) {
    if (!load(ready)) {
        return false;
    }
    store(asked, asked + 1u);
    wake_other();
    return true;
}

extern "C" TL_HOT void tl_port_join(void) {
    while (load(done) != asked) {
        __wfe();
    }
}

#elif defined(ARDUINO_ARCH_ESP32)

namespace {

constexpr uint32_t STACK_BYTES = 2048;
constexpr UBaseType_t PRIORITY = 1; /* as the task of loop() */
constexpr uint32_t LOOKS = 2000;    /* for the next part, some 50 us, before the task sleeps */

TaskHandle_t task;
bool asleep;

TL_HOT void work(void *) {
    for (;;) {
        for (uint32_t look = 0; look < LOOKS && load(asked) == done; look++) {
        }
        if (load(asked) == done) {
            store(asleep, true);
            if (load(asked) == done) {
                (void)ulTaskNotifyTake(pdTRUE, portMAX_DELAY);
            }
            store(asleep, false);
            continue;
        }
        tl_parallel_other();
        store(done, asked);
    }
}

} // namespace

void tl_second_core_start() {
    if (xTaskCreatePinnedToCore(work, "tinyllm", STACK_BYTES, nullptr, PRIORITY, &task, 1 - xPortGetCoreID()) !=
        pdPASS) {
        task = nullptr;
    }
}

extern "C" TL_HOT bool tl_port_fork(void) {
    if (task == nullptr) {
        return false;
    }
    store(asked, asked + 1u);
    if (load(asleep)) {
        (void)xTaskNotifyGive(task);
    }
    return true;
}

extern "C" TL_HOT void tl_port_join(void) {
    while (load(done) != asked) {
    }
}

#else
#error "this Arduino core's second core is not known here: set cores = 1 in the board's description"
#endif

#else

void tl_second_core_start() {}

#endif
