/* The calls of an Arduino core that the port and the library's examples make, as the cores declare them: no more, so that
 * one more is noticed. Sources: arduino-esp32 2.0.17 and 3.3.9 (cores/esp32), Arduino-Pico 4.1.1 (cores/rp2040), and
 * PaulStoffregen/cores of Teensyduino 1.62 (teensy4). */
#ifndef ARDUINO_H
#define ARDUINO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOW 0x0
#define HIGH 0x1

void setup(void);
void loop(void);

#if defined(ARDUINO_ARCH_ESP32)
#define OUTPUT 0x03
extern "C" {
void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t value);
void delay(uint32_t ms);
unsigned long millis();
unsigned long micros();
bool psramFound();
float temperatureRead();
void analogWrite(uint8_t pin, int value);
#if defined(ESP_ARDUINO_VERSION_MAJOR) && ESP_ARDUINO_VERSION_MAJOR >= 3
void rgbLedWrite(uint8_t pin, uint8_t red, uint8_t green, uint8_t blue);
void analogWriteFrequency(uint8_t pin, uint32_t freq);
void analogWriteResolution(uint8_t pin, uint8_t resolution);
#else
void neopixelWrite(uint8_t pin, uint8_t red, uint8_t green, uint8_t blue);
void analogWriteFrequency(uint32_t freq);
void analogWriteResolution(uint8_t bits);
#endif
/* FreeRTOS, as ESP-IDF 4.4 has it; the two notifications are macros there. */
typedef int BaseType_t;
typedef unsigned int UBaseType_t;
typedef uint32_t TickType_t;
typedef struct tskTaskControlBlock *TaskHandle_t;
typedef void (*TaskFunction_t)(void *);
UBaseType_t uxTaskGetStackHighWaterMark(TaskHandle_t task);
BaseType_t xTaskCreatePinnedToCore(TaskFunction_t code, const char *name, uint32_t stack_depth, void *parameters,
                                   UBaseType_t priority, TaskHandle_t *task, BaseType_t core);
BaseType_t xPortGetCoreID(void);
uint32_t ulTaskNotifyTake(BaseType_t clear, TickType_t wait);
BaseType_t xTaskNotifyGive(TaskHandle_t task);
}
#define pdTRUE 1
#define pdPASS 1
#define portMAX_DELAY 0xffffffffUL
size_t getArduinoLoopTaskStackSize(void);
#elif defined(ARDUINO_ARCH_RP2040)
#define OUTPUT 0x1
#define LED_BUILTIN (25u)
extern "C" {
void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t value);
void delay(unsigned long ms);
unsigned long millis();
unsigned long micros();
}
#define F_CPU 133000000L
float analogReadTemp(float vref = 3.3f);
void setup1();
void loop1();
#if defined(RP2350_PSRAM_CS)
extern "C" void *pcalloc(size_t count, size_t size);
class RP2040 {
public:
    size_t getPSRAMSize();
};
extern RP2040 rp2040;
#endif
#elif defined(TEENSYDUINO)
#define OUTPUT 1
#define LED_BUILTIN (13)
extern "C" {
void pinMode(uint8_t pin, uint8_t mode);
void digitalWrite(uint8_t pin, uint8_t val);
void delay(uint32_t msec);
uint32_t millis(void);
uint32_t micros(void);
void analogWrite(uint8_t pin, int value);
void analogWriteFrequency(uint8_t pin, float frequency);
uint32_t analogWriteResolution(uint32_t bits);
float tempmonGetTemp(void);
}
#else
#error "which core?"
#endif

class Console {
public:
    void begin(unsigned long baud);
    int available();
    int read();
    size_t write(const uint8_t *bytes, size_t n);
    size_t print(const char *text);
    size_t println(const char *text);
#if defined(ARDUINO_ARCH_ESP32)
    size_t setRxBufferSize(size_t size);
#elif defined(ARDUINO_ARCH_RP2040)
    void ignoreFlowControl(bool ignore = true);

private:
    bool flow_control = true;
#endif
};

extern Console Serial;

#endif
