/* The second core of a desk. */
#ifndef CORES_H
#define CORES_H

/* To be called before setup(); of an ESP32 the port does it. */
void start_second_core();

#endif
