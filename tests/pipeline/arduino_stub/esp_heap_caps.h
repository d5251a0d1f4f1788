/* Of ESP-IDF 4.4 (components/heap), which arduino-esp32 2.0 carries. */
#ifndef ESP_HEAP_CAPS_H
#define ESP_HEAP_CAPS_H

#include <stddef.h>
#include <stdint.h>

#define MALLOC_CAP_SPIRAM (1 << 10)

extern "C" void *heap_caps_aligned_calloc(size_t alignment, size_t n, size_t size, uint32_t caps);

#endif
