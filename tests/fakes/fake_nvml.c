/* A fake libnvidia-ml.so.1, as much of it as the suite calls. Layouts and return codes: nvml.h; sizes: see the asserts.
 *
 * Its state is the file named by FAKE_NVML_STATE, one `key value` a line, read again at each call, so that a test can
 * change it live. The keys are those of tests/fakes/nvml.py, which says what they mean.
 * With -DOLD_DRIVER it lacks what drivers of 2021 lacked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SUCCESS, UNINITIALIZED, INVALID_ARGUMENT, NOT_SUPPORTED, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, BAD_VERSION = 25 };

struct memory_v1 { unsigned long long total, free, used; };
struct memory_v2 { unsigned version; unsigned long long total, reserved, free, used; };
struct process { unsigned pid; unsigned long long bytes; unsigned gpu_instance, compute_instance; };

/* The sizes come from pynvml (sizeof), given by the test that compiles this file. */
_Static_assert(sizeof(struct memory_v1) == SIZE_MEMORY_V1, "memory, version 1");
_Static_assert(sizeof(struct memory_v2) == SIZE_MEMORY_V2, "memory, version 2");
_Static_assert(sizeof(struct process) == SIZE_PROCESS, "process");

static int initialised;

/* Copy a key's value into `value` (256 bytes); 0 if there is none. */
static int look_up(const char *key, char *value) {
  FILE *state = fopen(getenv("FAKE_NVML_STATE"), "r");
  char line[512], name[256];
  int found = 0;
  while (state && !found && fgets(line, sizeof line, state))
    found = sscanf(line, "%255s %255[^\n]", name, value) == 2 && !strcmp(name, key);
  if (state) fclose(state);
  return found;
}

static unsigned long long number(const char *key) {
  char value[256];
  return look_up(key, value) ? strtoull(value, NULL, 0) : 0;
}

/* Handles are 1 + the device's number, so that none is NULL. */
static int look_up_of(void *device, const char *key, char *value) {
  char name[64];
  snprintf(name, sizeof name, "%zu.%s", (size_t)device - 1, key);
  return look_up(name, value);
}

static int number_of(void *device, const char *key, unsigned long long *out) {
  char value[256];
  if (!look_up_of(device, key, value)) return NOT_SUPPORTED;
  *out = strtoull(value, NULL, 0);
  return SUCCESS;
}

/* What comes before each answer: sleep and fail as the state says. */
static int enter(const char *function) {
  char key[128];
  snprintf(key, sizeof key, "hang.%s", function);
  sleep((unsigned)number(key));
  snprintf(key, sizeof key, "fail.%s", function);
  if (number(key)) return (int)number(key);
  if (number("lost") && strstr(function, "Device")) return (int)number("lost");
  return initialised || strstr(function, "Init") ? SUCCESS : UNINITIALIZED;
}

#define ENTER do { int code = enter(__func__); if (code) return code; } while (0)

int nvmlInitWithFlags(unsigned flags) { (void)flags; ENTER; initialised = 1; return SUCCESS; }
int nvmlShutdown(void) { ENTER; initialised = 0; return SUCCESS; }

int nvmlSystemGetDriverVersion(char *out, unsigned size) {
  char value[256];
  ENTER;
  if (!look_up("driver", value)) return NOT_SUPPORTED;
  snprintf(out, size, "%s", value);
  return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
  char value[256];
  ENTER;
  for (size_t handle = 1; look_up_of((void *)handle, "uuid", value); handle++)
    if (!strcmp(value, uuid)) { *device = (void *)handle; return SUCCESS; }
  return NOT_FOUND;
}

int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending) {
  unsigned long long mode;
  ENTER;
  if (number_of(device, "split", &mode)) return NOT_SUPPORTED;
  *current = *pending = (unsigned)mode;
  return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(void *device, struct memory_v1 *out) {
  unsigned long long reserved = 0;
  ENTER;
  number_of(device, "total", &out->total);
  number_of(device, "reserved", &reserved);
  if (number_of(device, "used", &out->used)) return NOT_SUPPORTED;
  out->used += reserved;
  out->free = out->total - out->used;
  return SUCCESS;
}

static int processes(void *device, const char *kind, unsigned *count, struct process *out) {
  char value[256], *rest = value;
  unsigned found = 0, room = out ? *count : 0;
  if (!look_up_of(device, kind, value)) return NOT_SUPPORTED;
  for (char *item, *bytes; (item = strtok_r(rest, ",", &rest)) && (bytes = strchr(item, ':')); found++) {
    if (found >= room) continue;
    out[found].pid = strncmp(item, "self", 4) ? (unsigned)atoi(item) : (unsigned)getpid();
    out[found].bytes = strcmp(bytes, ":NA") ? strtoull(bytes + 1, NULL, 0) : ~0ULL;
  }
  *count = found;
  return found > room ? INSUFFICIENT_SIZE : SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v2(void *device, unsigned *count, struct process *out) {
  ENTER;
  return processes(device, "compute", count, out);
}

int nvmlDeviceGetGraphicsRunningProcesses_v2(void *device, unsigned *count, struct process *out) {
  ENTER;
  return processes(device, "graphics", count, out);
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *bits) {
  ENTER;
  return number_of(device, "clock_events", bits);
}

int nvmlDeviceGetClockInfo(void *device, unsigned type, unsigned *mhz) {
  unsigned long long value;
  ENTER;
  if (type != 1) return INVALID_ARGUMENT; /* 1: of the processors */
  if (number_of(device, "clock", &value)) return NOT_SUPPORTED;
  *mhz = (unsigned)value;
  return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules) {
  ENTER;
  return number_of(device, "energy", millijoules);
}

#ifndef OLD_DRIVER
int nvmlDeviceGetMemoryInfo_v2(void *device, struct memory_v2 *out) {
  ENTER;
  if (out->version != (sizeof *out | 2 << 24)) return BAD_VERSION;
  number_of(device, "total", &out->total);
  number_of(device, "reserved", &out->reserved);
  out->free = out->total;
  return number_of(device, "used", &out->used);
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, struct process *out) {
  ENTER;
  return processes(device, "compute", count, out);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(void *device, unsigned *count, struct process *out) {
  ENTER;
  return processes(device, "graphics", count, out);
}

int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *bits) {
  ENTER;
  return number_of(device, "clock_events", bits);
}
#endif
