/* Of the Pico SDK (hardware_sync), which Arduino-Pico carries. */
#ifndef HARDWARE_SYNC_H
#define HARDWARE_SYNC_H

void __dsb(void);
void __sev(void);
void __wfe(void);

#endif
