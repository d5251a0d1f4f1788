/* The second core. It waits until `asked` differs from `done`, does its part of the job, and then sets `done` to
 * `asked`.
 *
 * Pico: core 1, which the Arduino core launches if setup1() and loop1() exist. It sleeps until an event (WFE). ESP32
 * and ESP32-S3: a task pinned to the core that does not run loop(). It polls for the next part for a moment, because
 * parts follow each other within microseconds, then sleeps until it is notified. So the system gets time on this core,
 * and so does the idle task, which a watchdog watches.
 */
#include "second_core.h"

#include <Arduino.h>

#include "parallel.h"
#include "placement.h"

#if TL_CORES > 1

namespace {

/* Only loop()'s core writes `asked`, only the other core writes `done`. */
uint32_t asked, done;

/* After load(), this core sees everything that the other core wrote before its store(). The order is sequentially
   consistent, because a core that falls asleep stores one value and then loads another. */
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

/* DSB: earlier stores are complete before the event is sent (Armv6-M Architecture Reference Manual, B1.5.18). */
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
constexpr UBaseType_t PRIORITY = 1; /* that of loop()'s task */
constexpr uint32_t LOOKS = 2000;    /* polls for the next part before the task sleeps: some 50 us */

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
