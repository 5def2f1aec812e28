/* A FAKE libnvidia-ml.so.1 for tests: the real binding loads it as if it were the driver's.
 *
 * The file that XAIVA_FAKE_NVML names says what it pretends; it is read again at every call, one directive a line:
 *   init N                  nvmlInit returns N (9: driver not loaded, 18: driver and library differ)
 *   driver 550.54.15        driver version
 *   cuda 12040              CUDA version of the driver
 *   gpu rtx4090|gtx1060|a100|h100-mig    one more GPU
 *   name N TEXT, capability N MAJOR MINOR, memory N BYTES    what GPU N says of itself instead; 0 is not supported
 *   lost N                  GPU N fell off the bus
 *   fail N CODE             every question about GPU N is answered with that NVML error
 *   hang FUNCTION|all       block in that function for as long as the directive is there
 *   crash                   abort in the next call
 *   old                     a driver of before R510: no version 3 of the process lists, no version 2 of memory
 *   util N PERCENT, used N BYTES, throttle N MASK
 *   process N PID BYTES     a process that computes on GPU N
 *   busy N PID PERCENT      how much of GPU N that process uses; without any `busy` the driver does not tell for GPU N
 *   drift                   utilisation, temperature and power move with time
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, FUNCTION_NOT_FOUND = 13, LOST = 15 };
enum { MAX_GPUS = 16, MAX_PROCESSES = 64 };

struct model {
    const char *key, *name;
    unsigned architecture, major, minor;
    unsigned long long memory;
    unsigned clock, memory_clock, limit_mw, idle_mw;
    int ecc, mig; /* -1: not supported, 0: off, 1: on */
};

static const struct model MODELS[] = {
    {"rtx4090", "NVIDIA GeForce RTX 4090", 8, 8, 9, 24ULL << 30, 3105, 10501, 450000, 23000, -1, -1},
    {"gtx1060", "NVIDIA GeForce GTX 1060 6GB", 4, 6, 1, 6ULL << 30, 1911, 4004, 120000, 9000, -1, -1},
    {"a100", "NVIDIA A100-PCIE-40GB", 7, 8, 0, 40ULL << 30, 1410, 1215, 250000, 35000, 1, 0},
    {"h100-mig", "NVIDIA H100 80GB HBM3", 9, 9, 0, 80ULL << 30, 1980, 2619, 700000, 70000, 1, 1},
};

struct gpu {
    const struct model *model;
    char name[96];
    int lost;
    unsigned util, major, minor;
    unsigned long long memory, used, throttle;
};

struct process { unsigned gpu, pid; unsigned long long memory; };
struct busy { unsigned gpu, pid, percent; };

static struct {
    int init, crash, old, drift, cuda;
    unsigned gpus, processes, busy_processes;
    char driver[80], hang[80];
    struct gpu gpu[MAX_GPUS];
    struct process process[MAX_PROCESSES];
    struct busy busy[MAX_PROCESSES];
} now;

static void read_directives(void) {
    memset(&now, 0, sizeof now);
    strcpy(now.driver, "550.54.15");
    now.cuda = 12040;
    const char *path = getenv("XAIVA_FAKE_NVML");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return;
    char line[256], key[80];
    while (fgets(line, sizeof line, file)) {
        unsigned n = 0, pid = 0, minor = 0;
        unsigned long long value = 0;
        if (sscanf(line, "init %d", &now.init) == 1 || sscanf(line, "cuda %d", &now.cuda) == 1 ||
            sscanf(line, "driver %79s", now.driver) == 1 || sscanf(line, "hang %79s", now.hang) == 1)
            continue;
        if (sscanf(line, "gpu %79s", key) == 1 && now.gpus < MAX_GPUS) {
            for (size_t i = 0; i < sizeof MODELS / sizeof *MODELS; i++)
                if (!strcmp(MODELS[i].key, key)) {
                    struct gpu *gpu = &now.gpu[now.gpus++];
                    gpu->model = &MODELS[i];
                    snprintf(gpu->name, sizeof gpu->name, "%s", MODELS[i].name);
                    gpu->major = MODELS[i].major;
                    gpu->minor = MODELS[i].minor;
                    gpu->memory = MODELS[i].memory;
                    gpu->used = 512ULL << 20;
                }
        } else if (sscanf(line, "name %u %79[^\n]", &n, key) == 2 && n < MAX_GPUS) strcpy(now.gpu[n].name, key);
        else if (sscanf(line, "capability %u %u %u", &n, &pid, &minor) == 3 && n < MAX_GPUS) {
            now.gpu[n].major = pid;
            now.gpu[n].minor = minor;
        } else if (sscanf(line, "memory %u %llu", &n, &value) == 2 && n < MAX_GPUS) now.gpu[n].memory = value;
        else if (sscanf(line, "lost %u", &n) == 1 && n < MAX_GPUS) now.gpu[n].lost = LOST;
        else if (sscanf(line, "fail %u %llu", &n, &value) == 2 && n < MAX_GPUS) now.gpu[n].lost = (int)value;
        else if (sscanf(line, "util %u %llu", &n, &value) == 2 && n < MAX_GPUS) now.gpu[n].util = (unsigned)value;
        else if (sscanf(line, "used %u %llu", &n, &value) == 2 && n < MAX_GPUS) now.gpu[n].used = value;
        else if (sscanf(line, "throttle %u %lli", &n, (long long *)&value) == 2 && n < MAX_GPUS) now.gpu[n].throttle = value;
        else if (sscanf(line, "process %u %u %llu", &n, &pid, &value) == 3 && now.processes < MAX_PROCESSES)
            now.process[now.processes++] = (struct process){n, pid, value};
        else if (sscanf(line, "busy %u %u %u", &n, &pid, &minor) == 3 && now.busy_processes < MAX_PROCESSES)
            now.busy[now.busy_processes++] = (struct busy){n, pid, minor};
        else if (!strncmp(line, "old", 3)) now.old = 1;
        else if (!strncmp(line, "drift", 5)) now.drift = 1;
        else if (!strncmp(line, "crash", 5)) now.crash = 1;
    }
    fclose(file);
}

static void enter(const char *function) {
    read_directives();
    if (now.crash) abort();
    while (!strcmp(now.hang, "all") || !strcmp(now.hang, function)) {
        usleep(5000);
        read_directives();
    }
}

/* A wave between -1 and 1 that differs from GPU to GPU; 0 without `drift`. */
static double wave(const struct gpu *gpu) {
    return now.drift ? sin(time(NULL) / 7.0 + (gpu - now.gpu) * 1.7) : 0;
}

typedef void *device;

static int find(device handle, const char *function, struct gpu **gpu) {
    enter(function);
    uintptr_t index = (uintptr_t)handle - 1;
    if (index >= now.gpus) return INVALID;
    *gpu = &now.gpu[index];
    return (*gpu)->lost;
}

#define DEVICE(handle)                                  \
    struct gpu *gpu;                                    \
    int found = find(handle, __func__, &gpu);           \
    if (found != OK) return found

int nvmlInitWithFlags(unsigned flags) { (void)flags; enter(__func__); return now.init; }
int nvmlInit_v2(void) { enter(__func__); return now.init; }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { static char text[40]; snprintf(text, sizeof text, "fake error %d", code); return text; }

static int text(char *to, unsigned length, const char *from) { snprintf(to, length, "%s", from); return OK; }

int nvmlSystemGetDriverVersion(char *to, unsigned length) { enter(__func__); return text(to, length, now.driver); }
int nvmlSystemGetNVMLVersion(char *to, unsigned length) { enter(__func__); return text(to, length, now.driver); }
int nvmlSystemGetCudaDriverVersion(int *to) { enter(__func__); *to = now.cuda; return OK; }
int nvmlSystemGetCudaDriverVersion_v2(int *to) { return nvmlSystemGetCudaDriverVersion(to); }
int nvmlDeviceGetCount_v2(unsigned *to) { enter(__func__); *to = now.gpus; return OK; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, device *to) {
    *to = (device)(uintptr_t)(index + 1);
    DEVICE(*to);
    return OK;
}

int nvmlDeviceGetIndex(device handle, unsigned *to) { DEVICE(handle); *to = (unsigned)(gpu - now.gpu); return OK; }
int nvmlDeviceGetName(device handle, char *to, unsigned length) { DEVICE(handle); return text(to, length, gpu->name); }

int nvmlDeviceGetUUID(device handle, char *to, unsigned length) {
    DEVICE(handle);
    snprintf(to, length, "GPU-fa4e0000-0000-4000-8000-%012u", (unsigned)(gpu - now.gpu));
    return OK;
}

int nvmlDeviceGetArchitecture(device handle, unsigned *to) { DEVICE(handle); *to = gpu->model->architecture; return OK; }

int nvmlDeviceGetCudaComputeCapability(device handle, int *major, int *minor) {
    DEVICE(handle);
    *major = (int)gpu->major;
    *minor = (int)gpu->minor;
    return gpu->major ? OK : NOT_SUPPORTED;
}

static unsigned long long used(const struct gpu *gpu) {
    unsigned long long sum = gpu->used;
    for (unsigned i = 0; i < now.processes; i++)
        if (now.process[i].gpu == (unsigned)(gpu - now.gpu)) sum += now.process[i].memory;
    return sum;
}

struct memory { unsigned long long total, free, used; };

int nvmlDeviceGetMemoryInfo(device handle, struct memory *to) {
    DEVICE(handle);
    if (!gpu->memory) return NOT_SUPPORTED;
    /* version 1 counts what the driver reserves as used */
    to->total = gpu->memory;
    to->used = used(gpu) + (300ULL << 20);
    to->free = to->total - to->used;
    return OK;
}

struct memory_v2 { unsigned version; unsigned long long total, reserved, free, used; };

int nvmlDeviceGetMemoryInfo_v2(device handle, struct memory_v2 *to) {
    DEVICE(handle);
    if (now.old) return FUNCTION_NOT_FOUND;
    if (!gpu->memory) return NOT_SUPPORTED;
    if (to->version != (sizeof *to | 2u << 24)) return 25; /* argument version mismatch */
    to->total = gpu->memory;
    to->reserved = 300ULL << 20;
    to->used = used(gpu);
    to->free = to->total - to->used - to->reserved;
    return OK;
}

struct utilisation { unsigned gpu, memory; };

int nvmlDeviceGetUtilizationRates(device handle, struct utilisation *to) {
    DEVICE(handle);
    if (gpu->model->mig == 1) return NOT_SUPPORTED;
    double moved = gpu->util + 25 * wave(gpu);
    to->gpu = (unsigned)(moved < 0 ? 0 : moved > 100 ? 100 : moved);
    to->memory = to->gpu / 3;
    return OK;
}

int nvmlDeviceGetTemperature(device handle, int sensor, unsigned *to) {
    DEVICE(handle);
    (void)sensor;
    *to = (unsigned)(38 + gpu->util * 0.35 + 4 * wave(gpu));
    return OK;
}

int nvmlDeviceGetPowerUsage(device handle, unsigned *to) {
    DEVICE(handle);
    const struct model *model = gpu->model;
    double share = gpu->util / 110.0 + 0.08 * wave(gpu);
    *to = (unsigned)(model->idle_mw + (model->limit_mw - model->idle_mw) * (share < 0 ? 0 : share));
    return OK;
}

int nvmlDeviceGetEnforcedPowerLimit(device handle, unsigned *to) { DEVICE(handle); *to = gpu->model->limit_mw; return OK; }

int nvmlDeviceGetFanSpeed(device handle, unsigned *to) {
    DEVICE(handle);
    if (gpu->model->ecc == 1) return NOT_SUPPORTED; /* passively cooled */
    *to = 30 + gpu->util / 2;
    return OK;
}

int nvmlDeviceGetClockInfo(device handle, int type, unsigned *to) {
    DEVICE(handle);
    *to = type == 2 ? gpu->model->memory_clock : gpu->util ? gpu->model->clock - 120 : 210;
    return OK;
}

int nvmlDeviceGetMaxClockInfo(device handle, int type, unsigned *to) {
    DEVICE(handle);
    *to = type == 2 ? gpu->model->memory_clock : gpu->model->clock;
    return OK;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(device handle, unsigned long long *to) {
    DEVICE(handle);
    *to = gpu->throttle ? gpu->throttle : gpu->util ? 0 : 1;
    return OK;
}

int nvmlDeviceGetCurrentClocksEventReasons(device handle, unsigned long long *to) {
    enter(__func__);
    return now.old ? FUNCTION_NOT_FOUND : nvmlDeviceGetCurrentClocksThrottleReasons(handle, to);
}

int nvmlDeviceGetEccMode(device handle, int *current, int *pending) {
    DEVICE(handle);
    if (gpu->model->ecc < 0) return NOT_SUPPORTED;
    *current = *pending = gpu->model->ecc;
    return OK;
}

int nvmlDeviceGetTotalEccErrors(device handle, int kind, int counter, unsigned long long *to) {
    DEVICE(handle);
    (void)counter;
    if (gpu->model->ecc < 0) return NOT_SUPPORTED;
    *to = kind == 0 ? 3 : 0;
    return OK;
}

int nvmlDeviceGetMigMode(device handle, unsigned *current, unsigned *pending) {
    DEVICE(handle);
    if (gpu->model->mig < 0) return NOT_SUPPORTED;
    *current = *pending = (unsigned)gpu->model->mig;
    return OK;
}

struct process_info { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; };

static int processes(struct gpu *gpu, unsigned *count, struct process_info *to) {
    unsigned wanted = 0, room = *count;
    for (unsigned i = 0; i < now.processes; i++) {
        if (now.process[i].gpu != (unsigned)(gpu - now.gpu)) continue;
        if (to && wanted < room)
            to[wanted] = (struct process_info){now.process[i].pid, now.process[i].memory, ~0u, ~0u};
        wanted++;
    }
    *count = wanted;
    return wanted > room ? INSUFFICIENT_SIZE : OK;
}

int nvmlDeviceGetComputeRunningProcesses_v3(device handle, unsigned *count, struct process_info *to) {
    DEVICE(handle);
    return now.old ? FUNCTION_NOT_FOUND : processes(gpu, count, to);
}

int nvmlDeviceGetComputeRunningProcesses_v2(device handle, unsigned *count, struct process_info *to) {
    DEVICE(handle);
    return processes(gpu, count, to);
}

struct process_utilisation { unsigned pid; unsigned long long time; unsigned sm, memory, encoder, decoder; };

int nvmlDeviceGetProcessUtilization(device handle, struct process_utilisation *to, unsigned *count, unsigned long long since) {
    DEVICE(handle);
    unsigned known = 0, wanted = 0, room = *count;
    for (unsigned i = 0; i < now.busy_processes; i++) {
        if (now.busy[i].gpu != (unsigned)(gpu - now.gpu)) continue;
        known = 1;
        if (!now.busy[i].percent) continue; /* like the driver: no sample of an idle process */
        if (to && wanted < room)
            to[wanted] = (struct process_utilisation){now.busy[i].pid, since + 1, now.busy[i].percent, 0, 0, 0};
        wanted++;
    }
    *count = wanted;
    if (!known) return NOT_SUPPORTED;
    return !wanted ? NOT_FOUND : wanted > room ? INSUFFICIENT_SIZE : OK;
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(device handle, unsigned *count, struct process_info *to) {
    DEVICE(handle);
    (void)to;
    *count = 0;
    return now.old ? FUNCTION_NOT_FOUND : OK;
}

int nvmlDeviceGetGraphicsRunningProcesses_v2(device handle, unsigned *count, struct process_info *to) {
    DEVICE(handle);
    (void)to;
    *count = 0;
    return OK;
}
